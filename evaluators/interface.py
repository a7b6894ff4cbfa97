"""What an evaluator is handed and what it answers. Imports no torch.

An evaluator module offers

``Config``
    a pydantic class (a subclass of ``EvaluatorConfig``) of everything that changes the result;
``evaluate(checkpoint, config, context) -> dict[str, float | None]``
    metric names to values, see ``results.metrics`` for units; None for a metric that is not defined on the data, such
    as an average precision where there is no object;
``unavailable() -> str | None``
    optional: one sentence on why this Python can't run it, such as a library to install. It is called in a process of
    its own, where it may import the library.

What it leaves in ``artifacts/`` below ``context.work_directory`` is hashed in the record; ``per_class.json`` there,
class to metric to a number or null, becomes part of it.

It is found by its module name, or under the entry point group ``opera_bench.evaluators``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import Field

from pretrain.backbones.interface import BackboneInfo
from pretrain.config import Integer, PretrainConfig, RecipeReference, Strict
from pretrain.datasets import Kind

PER_CLASS_FILE = "per_class.json"


class EvaluatorConfig(Strict):
    """What every evaluator's configuration has: the data it is judged on, its recipe, its seed.

    ``KIND`` is the kind of dataset it reads. ``DEFAULT_DATASET`` is judged on where the user names none; None stands
    for the one pretrained on.
    """

    KIND: ClassVar[Kind] = "classification"
    DEFAULT_DATASET: ClassVar[str | None] = None

    dataset: str
    dataset_version: str
    recipe: RecipeReference
    seed: Integer = Field(ge=0, lt=2**32)

    @classmethod
    def require_backbone(cls, backbone: BackboneInfo) -> None:
        """Raise an InputError for a backbone that this protocol can't judge however it is configured."""

    def require_fits(self, backbone: BackboneInfo) -> None:
        """Raise an InputError for a backbone that this protocol can't judge as configured; most judge any."""


class ReportProgress(Protocol):
    """Adds one row to the run's curves; ``epoch`` may be fractional."""

    def __call__(self, *, epoch: float, total_epochs: float, values: Mapping[str, float]) -> None: ...


@dataclass(frozen=True)
class Context:
    """Where an evaluation runs. Nothing here may change its result.

    Parameters
    ----------
    data_root
        Directory of ``config.dataset``; None for data that a package carries.
    work_directory
        The run's own directory for training state that a restart picks up.
    device
        A torch device, e.g. ``cpu`` or ``cuda:0``.
    should_stop
        Whether to save what there is and raise ``pretrain.errors.StoppedEarly``; asked where an evaluation can.
    subject
        The pretraining that left the checkpoint; None for a checkpoint trained elsewhere.
    """

    data_root: Path | None
    work_directory: Path
    device: str
    num_workers: int
    report: ReportProgress
    should_stop: Callable[[], bool] = lambda: False
    subject: PretrainConfig | None = None


class EvaluatorModule(Protocol):
    """The shape of a module in ``evaluators``."""

    Config: type[EvaluatorConfig]

    def evaluate(self, checkpoint: Path, config: Any, context: Context) -> Mapping[str, float | None]: ...

"""The interface of an evaluator module. Imports no torch.

An evaluator module has

``Config``
    a pydantic class (a subclass of ``EvaluatorConfig``) with every setting that changes the result;
``METRICS``
    a tuple of ``Metric``: name, label, unit, direction and decimals of each metric that ``evaluate`` returns. Records,
    comparisons, figures, tables and the report take them from here;
``evaluate(checkpoint, config, context) -> dict[str, float | None]``
    returns metric names and values; None for a metric that is undefined on the data, such as an average precision
    without objects. Every metric of ``METRICS`` that is not ``optional`` must be there, and no other;
``unavailable() -> str | None``
    optional: returns one sentence on why this Python can't run it, such as a library to install. It is called in a
    separate process, where it may import the library.

Files that the evaluator writes to ``artifacts/`` below ``context.work_directory`` are hashed in the record. The
content of ``per_class.json`` there (class to metric to a number or null) becomes part of the record.

The module is found by its name in this package, or under the entry point group ``opera_bench.evaluators``.
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
from pretrain.metrics import Metric, ReportProgress

PER_CLASS_FILE = "per_class.json"

__all__ = ["PER_CLASS_FILE", "Context", "EvaluatorConfig", "EvaluatorModule", "Metric", "ReportProgress"]


class EvaluatorConfig(Strict):
    """Settings of every evaluator: its dataset, recipe and seed.

    ``KIND`` is the kind of dataset it reads. ``DEFAULT_DATASET`` is used if the user names none; None means the dataset
    that was pretrained on.
    """

    KIND: ClassVar[Kind] = "classification"
    DEFAULT_DATASET: ClassVar[str | None] = None

    dataset: str
    dataset_version: str
    recipe: RecipeReference
    seed: Integer = Field(ge=0, lt=2**32)

    @classmethod
    def require_backbone(cls, backbone: BackboneInfo) -> None:
        """Raise an InputError for a backbone that this protocol can't evaluate with any configuration."""

    def require_fits(self, backbone: BackboneInfo) -> None:
        """Raise an InputError for a backbone that this protocol can't evaluate with this configuration."""


@dataclass(frozen=True)
class Context:
    """The environment of an evaluation. Nothing here may change the result.

    Parameters
    ----------
    data_root
        Directory of ``config.dataset``; None for data shipped in a package.
    work_directory
        The run's directory, for training state from which a restart continues.
    device
        A torch device, e.g. ``cpu`` or ``cuda:0``.
    should_stop
        Returns whether to save the state and raise ``pretrain.errors.StoppedEarly``; call it wherever that is possible.
    subject
        Configuration of the pretraining that wrote the checkpoint; None for a checkpoint trained elsewhere.
    """

    data_root: Path | None
    work_directory: Path
    device: str
    num_workers: int
    report: ReportProgress
    should_stop: Callable[[], bool] = lambda: False
    subject: PretrainConfig | None = None


class EvaluatorModule(Protocol):
    """The interface of an evaluator module."""

    Config: type[EvaluatorConfig]
    METRICS: tuple[Metric, ...]

    def evaluate(self, checkpoint: Path, config: Any, context: Context) -> Mapping[str, float | None]: ...

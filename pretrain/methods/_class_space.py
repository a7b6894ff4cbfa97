"""OPERA's class space on top of another method's instance space: ``{method: opera, on: byol}``. Imports no torch.

backbone → … → **instance** (the other method's) → **class**. The loss is the other method's own, as published, plus
the cross-entropy averaged over the views, each times a weight: eq. 13 of the OPERA paper with another method in the
place of MoCo-v3. The paper says that this is possible and gives no numbers; unit weights are its eq. 13's.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model

from pretrain.config import WIDEST, Integer, PretrainConfig, Strict

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import MethodModule, RunFacts


class ClassSpace(Strict):
    """Options of the class space, beside those of the method below it."""

    instance_weight: float = Field(default=1.0, ge=0, description="times the other method's loss")
    class_weight: float = Field(default=1.0, ge=0, description="times the mean cross-entropy of the views")
    class_layers: Integer = Field(default=2, ge=1, le=5, description="linear layers of the class head")
    class_hidden_dimension: Integer = Field(default=256, gt=0, le=WIDEST, description="hidden width of the class head")


class StackedModule:
    """A method module: the class space on the instance space of the method called ``on``, whose module is ``below``."""

    def __init__(self, on: str, below: MethodModule) -> None:
        self.on, self.below = on, below
        self.Config = _config(below.Config)

    def __reduce__(self) -> tuple[Any, ...]:
        """Modules can't be pickled; names can."""
        below: Any = self.below
        return _restored, (self.on, below.__name__)

    def check(self, config: PretrainConfig) -> None:
        """Refuse what the other method refuses."""
        if hasattr(self.below, "check"):
            self.below.check(config)

    def build(
        self, config: Any, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts
    ) -> nn.Module:
        from pretrain.methods.networks.stacked import StackedMethod

        below = self.below.build(
            config, backbone=backbone, feature_dimension=feature_dimension, num_classes=num_classes, run=run
        )
        dimension = getattr(config, self.below.INSTANCE_DIMENSION)  # type: ignore[attr-defined]
        return StackedMethod(below, config, dimension, num_classes)


@functools.cache
def _config(below: type[Strict]) -> type[Strict]:
    if taken := ClassSpace.model_fields.keys() & below.model_fields.keys():
        raise ValueError(f"{below.__module__}: OPERA's class space has options of the same names: {sorted(taken)}")
    return create_model("Config", __base__=(below, ClassSpace))


def _restored(on: str, below: str) -> StackedModule:
    module: Any = importlib.import_module(below)
    return StackedModule(on, module)

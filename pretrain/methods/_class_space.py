"""OPERA's class space on top of another method's instance space: ``{method: opera, on: byol}``. Imports no torch.

backbone → … → **instance** (the other method's) → **class**. The loss is the other method's own, as published, plus
the cross-entropy averaged over the views, each times a weight: eq. 13 of the OPERA paper with another method in the
place of MoCo-v3. The paper says that this is possible and gives no numbers; unit weights are its eq. 13's.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, create_model

from pretrain.config import WIDEST, Integer, PretrainConfig, Strict
from pretrain.hierarchy import ClassLabels

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
        self.METRICS = (*getattr(below, "METRICS", ()), *ClassLabels.METRICS)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the name of the other method's module: modules can't be pickled."""
        return _stacked, (self.on, self.below.__name__)  # type: ignore[attr-defined]

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


def _stacked(on: str, module: str) -> StackedModule:
    return StackedModule(on, cast("MethodModule", importlib.import_module(module)))


@functools.cache
def _config(below: type[Strict]) -> type[Strict]:
    if taken := ClassSpace.model_fields.keys() & below.model_fields.keys():
        raise ValueError(f"{below.__module__}: OPERA's class space has options of the same names: {sorted(taken)}")
    return create_model("Config", __base__=(below, ClassSpace))

"""No pretraining: the backbone at its random initialisation (paper's "Rand. Init." rows). Its epochs are 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain.config import Strict
from pretrain.hierarchy import Hierarchy
from pretrain.metrics import Metric

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

METRICS: tuple[Metric, ...] = ()


class Config(Strict):
    """This method has no options."""


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.hierarchy.module import HierarchicalMethod

    return HierarchicalMethod(backbone, feature_dimension, Hierarchy(()))

"""Fully supervised pretraining: one space, the class space, on the backbone (paper's "Supervised" rows).

The head is a linear classifier with bias. The whole backbone trains: MoCo-v3 freezes the patch projection to stabilise
contrastive training, DeiT's recipe does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.config import Probability, Strict
from pretrain.hierarchy import BACKBONE, ClassLabels, Head, Hierarchy, Space

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

METRICS = ClassLabels.METRICS


class Config(Strict):
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    drop_path_rate: Probability = Field(default=0.0, description="of the last block, rising linearly from 0; ViTs only")


def hierarchy(config: Config, num_classes: int) -> Hierarchy:
    classifier = Head(1, num_classes, num_classes, bias=True)
    labels = ClassLabels(weight=1.0, label_smoothing=config.label_smoothing)
    return Hierarchy((Space("class", BACKBONE, classifier, labels),))


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.backbones.families.drop_path import set_drop_path
    from pretrain.hierarchy.module import HierarchicalMethod

    backbone.requires_grad_(True)  # the position embedding too, which MoCo-v3's ViT keeps fixed
    set_drop_path(backbone, config.drop_path_rate)
    return HierarchicalMethod(backbone, feature_dimension, hierarchy(config, num_classes))

"""Supervised pretraining with an MLP between backbone and classifier (paper Table 7, "Supervised (MLP)").

backbone → projection (two-layer MLP, discarded downstream) → **class**. Source: Wang et al., "Revisiting the
transferability of supervised pretraining: an MLP perspective", CVPR 2022. OPERA's paper gives no widths; those of
OPERA's projector are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.config import WIDEST, Integer, Probability, Strict
from pretrain.hierarchy import BACKBONE, ClassLabels, Head, Hierarchy, Space

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

METRICS = ClassLabels.METRICS


class Config(Strict):
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    drop_path_rate: Probability = Field(default=0.0, description="of the last block, rising linearly from 0; ViTs only")
    mlp_dimension: Integer = Field(default=4096, gt=0, le=WIDEST, description="hidden width of the MLP")
    embedding_dimension: Integer = Field(default=256, gt=0, le=WIDEST, description="output of the MLP")


def hierarchy(config: Config, num_classes: int) -> Hierarchy:
    mlp = Head(2, config.mlp_dimension, config.embedding_dimension)
    classifier = Head(1, num_classes, num_classes, bias=True)
    labels = ClassLabels(weight=1.0, label_smoothing=config.label_smoothing)
    spaces = (Space("projection", BACKBONE, mlp), Space("class", "projection", classifier, labels))
    return Hierarchy(spaces)


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.backbones.families.drop_path import set_drop_path
    from pretrain.hierarchy.module import HierarchicalMethod

    backbone.requires_grad_(True)  # the position embedding too, which MoCo-v3's ViT keeps fixed
    set_drop_path(backbone, config.drop_path_rate)
    return HierarchicalMethod(backbone, feature_dimension, hierarchy(config, num_classes))

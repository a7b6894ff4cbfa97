"""OPERA (paper section 3): the class space stacked on MoCo-v3's instance space.

Arrangement C, the paper's method: backbone → projection → **instance** → **class**. Arrangements A and B (Figure 4)
put the class space on the backbone and on the projection instead.

Presets of the loss:

``official``
    The released code: 0.5·(L12 + L21) + 0.5·(CE1 + CE2), where each L has MoCo-v3's factor 2·temperature. So the ratio
    of the two terms depends on the temperature: 1 : 0.5 at 1.0, 0.2 : 0.5 at 0.2.
``paper``
    Eq. 13: InfoNCE plus cross-entropy with unit weights, averaged over the two views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pretrain.config import WIDEST, Integer
from pretrain.hierarchy import BACKBONE, ClassLabels, Head, Hierarchy, Space
from pretrain.methods import moco_v3
from pretrain.methods.parts.requirements import require_two_views

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

check = require_two_views

CLASS_SPACE_LIES_ON = {"A": BACKBONE, "B": "projection", "C": "instance"}
METRICS = (*moco_v3.METRICS, *ClassLabels.METRICS)


class Config(moco_v3.Config):
    """Options of MoCo-v3 and of the class space. A weight multiplies its term's sum over the two views."""

    preset: Literal["official", "paper"] = "official"
    arrangement: Literal["A", "B", "C"] = "C"
    mlp_layers: Integer = Field(default=2, ge=1, le=5, description="linear layers of the class head (Figure 6)")
    hidden_dimension: Integer = Field(
        default=256, gt=0, le=WIDEST, description="hidden width of the class head (Figure 8)"
    )
    instance_weight: float = Field(default=0.5, ge=0)
    class_weight: float = Field(default=0.5, ge=0)


def hierarchy(config: Config, num_classes: int) -> Hierarchy:
    scale = 2 * config.temperature if config.preset == "official" else 1.0
    class_head = Head(config.mlp_layers, config.hidden_dimension, num_classes)
    class_space = Space("class", CLASS_SPACE_LIES_ON[config.arrangement], class_head, ClassLabels(config.class_weight))
    instance = moco_v3.instance_spaces(config, weight=config.instance_weight, scale=scale)
    return Hierarchy((*instance, class_space), config.target_momentum, freeze_patch_projection=True)


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.hierarchy.module import HierarchicalMethod

    return HierarchicalMethod(backbone, feature_dimension, hierarchy(config, num_classes))

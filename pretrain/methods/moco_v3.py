"""MoCo-v3 (Chen, Xie, He; arXiv 2104.02057): one supervised space, the instance space.

backbone → projection (projector) → **instance** (predictor), contrasted with the target network's projections. The
official loss is L(q1, k2) + L(q2, k1), each InfoNCE times 2·temperature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.config import DEEPEST, WIDEST, Integer, Strict
from pretrain.hierarchy import BACKBONE, Head, Hierarchy, InstanceContrast, Space
from pretrain.methods.parts.requirements import require_two_views

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

METRICS = InstanceContrast.METRICS
check = require_two_views


class Config(Strict):
    """Heads, temperature and target of MoCo-v3; the defaults are those of its ViT recipe."""

    temperature: float = Field(default=0.2, gt=0)
    target_momentum: float = Field(default=0.99, ge=0, le=1)
    projector_layers: Integer = Field(default=3, ge=1, le=DEEPEST)
    predictor_layers: Integer = Field(default=2, ge=1, le=DEEPEST)
    predictor_last_batch_norm: bool = True
    mlp_dimension: Integer = Field(default=4096, gt=0, le=WIDEST, description="hidden width of projector and predictor")
    embedding_dimension: Integer = Field(default=256, gt=0, le=WIDEST, description="output of projector and predictor")


def instance_spaces(config: Config, *, weight: float, scale: float) -> tuple[Space, Space]:
    """Return the projection space and the instance space on it; see ``InstanceContrast`` for ``scale``."""
    projector = Head(config.projector_layers, config.mlp_dimension, config.embedding_dimension, last_batch_norm=True)
    predictor = Head(
        config.predictor_layers,
        config.mlp_dimension,
        config.embedding_dimension,
        last_batch_norm=config.predictor_last_batch_norm,
    )
    contrast = InstanceContrast(weight, config.temperature, target_space="projection", scale=scale)
    return Space("projection", BACKBONE, projector), Space("instance", "projection", predictor, contrast)


def hierarchy(config: Config) -> Hierarchy:
    spaces = instance_spaces(config, weight=1.0, scale=2 * config.temperature)
    return Hierarchy(spaces, config.target_momentum, freeze_patch_projection=True)


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.hierarchy.module import HierarchicalMethod

    return HierarchicalMethod(backbone, feature_dimension, hierarchy(config))

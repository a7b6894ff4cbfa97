"""MoCo-v2 (Chen et al., arXiv 2003.04297): MoCo-v1 with a two-layer projector, stronger augmentation and a cosine.

backbone → **instance** (linear, ReLU, linear; biases, no batch normalisation). Source: facebookresearch/moco with the
flags ``--mlp --moco-t 0.2 --aug-plus --cos``; augmentation and schedule are settings of the recipe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.config import WIDEST, Integer
from pretrain.hierarchy import Head
from pretrain.methods import moco_v1

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

INSTANCE_DIMENSION = moco_v1.INSTANCE_DIMENSION
check = moco_v1.check
METRICS = moco_v1.METRICS


class Config(moco_v1.Config):
    """MoCo-v1's options and the projector's width; the defaults are those of the ImageNet runs."""

    temperature: float = Field(default=0.2, gt=0)
    mlp_dimension: Integer = Field(default=2048, gt=0, le=WIDEST, description="hidden width of the projector")


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    head = Head(2, config.mlp_dimension, config.embedding_dimension, bias=True, hidden_batch_norm=False)
    return moco_v1.build_with(config, head, backbone, feature_dimension)

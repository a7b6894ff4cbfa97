"""A ViT with MoCo-v3's 12 heads that is small enough for tests: width 48, depth 2, patch 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain.backbones.interface import BackboneInfo

if TYPE_CHECKING:
    from torch import nn

INFO = BackboneInfo(
    name="twelve_heads", title="tiny ViT", family="vit", width=48, num_heads=12, position_embedding="sincos-2d"
)


def build(image_size: int) -> nn.Module:
    from pretrain.backbones.families.vit import build_vit

    return build_vit(image_size=image_size, patch_size=4, width=48, depth=2, num_heads=12)

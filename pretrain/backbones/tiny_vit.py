"""A ViT for digits: patch 4, width 64, depth 4, 4 heads; otherwise MoCo-v3's definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain.backbones.interface import BackboneInfo

if TYPE_CHECKING:
    from torch import nn

INFO = BackboneInfo(
    name="tiny_vit",
    title="tiny ViT",
    family="vit",
    width=64,
    num_heads=4,
    position_embedding="sincos-2d",
    patch_size=4,
    depth=4,
)


def build(image_size: int) -> nn.Module:
    from pretrain.backbones.families.vit import build_vit

    return build_vit(image_size=image_size, patch_size=4, width=64, depth=4, num_heads=4)

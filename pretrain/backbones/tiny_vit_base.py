"""The larger sibling of ``tiny_vit``, as ViT-B is of ViT-S: width 96, 6 heads, the same patch and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain.backbones.interface import BackboneInfo

if TYPE_CHECKING:
    from torch import nn

INFO = BackboneInfo(
    name="tiny_vit_base",
    title="tiny ViT-B",
    family="vit",
    width=96,
    num_heads=6,
    position_embedding="sincos-2d",
    patch_size=4,
    depth=4,
)


def build(image_size: int) -> nn.Module:
    from pretrain.backbones.families.vit import build_vit

    return build_vit(image_size=image_size, patch_size=4, width=96, depth=4, num_heads=6)

"""ViT-S/16 of MoCo-v3: width 384, depth 12, 12 heads (DeiT's and timm's ViT-S has 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain.backbones.interface import BackboneInfo

if TYPE_CHECKING:
    from torch import nn

INFO = BackboneInfo(
    name="vit_small",
    title="ViT-S",
    family="vit",
    width=384,
    num_heads=12,
    position_embedding="sincos-2d",
    patch_size=16,
    depth=12,
)


def build(image_size: int) -> nn.Module:
    from pretrain.backbones.families.vit import build_vit

    return build_vit(image_size=image_size, patch_size=16, width=384, depth=12, num_heads=12)

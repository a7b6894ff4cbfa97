"""ViT-B/16 of MoCo-v3: width 768, depth 12, 12 heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain.backbones.interface import BackboneInfo

if TYPE_CHECKING:
    from torch import nn

INFO = BackboneInfo(
    name="vit_base",
    title="ViT-B",
    family="vit",
    width=768,
    num_heads=12,
    position_embedding="sincos-2d",
    patch_size=16,
    depth=12,
)


def build(image_size: int) -> nn.Module:
    from pretrain.backbones.families.vit import build_vit

    return build_vit(image_size=image_size, patch_size=16, width=768, depth=12, num_heads=12)

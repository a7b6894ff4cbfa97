"""ViT-B/16 of BEiT and SimMIM: width 768, depth 12, 12 heads, a shared relative position bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain.backbones.interface import BackboneInfo

if TYPE_CHECKING:
    from torch import nn

INFO = BackboneInfo(
    name="beit_base",
    title="BEiT ViT-B",
    family="vit",
    width=768,
    num_heads=12,
    position_embedding="relative",
    patch_size=16,
    depth=12,
)


def build(image_size: int) -> nn.Module:
    from pretrain.backbones.families.beit import build_beit

    return build_beit(image_size=image_size, patch_size=16, width=768, depth=12, num_heads=12)

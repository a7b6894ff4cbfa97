"""A Beit for digits, of ``tiny_vit``'s size: patch 4, width 64, depth 4, 4 heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain.backbones.interface import BackboneInfo

if TYPE_CHECKING:
    from torch import nn

INFO = BackboneInfo(
    name="tiny_beit",
    title="tiny BEiT",
    family="vit",
    width=64,
    num_heads=4,
    position_embedding="relative",
    patch_size=4,
    depth=4,
)


def build(image_size: int) -> nn.Module:
    from pretrain.backbones.families.beit import build_beit

    return build_beit(image_size=image_size, patch_size=4, width=64, depth=4, num_heads=4)

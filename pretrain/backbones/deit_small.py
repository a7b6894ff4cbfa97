"""DeiT-S/16, as timm defines it: width 384, depth 12, 6 heads, a learned position embedding.

For supervised DeiT checkpoints: ``vit_small`` is MoCo-v3's ViT-S, which differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretrain.backbones.interface import BackboneInfo

if TYPE_CHECKING:
    from torch import nn

INFO = BackboneInfo(
    name="deit_small",
    title="DeiT-S",
    family="vit",
    width=384,
    num_heads=6,
    position_embedding="learned",
    patch_size=16,
    depth=12,
)


def build(image_size: int) -> nn.Module:
    from pretrain.backbones.families.vit import build_deit

    return build_deit(image_size=image_size, patch_size=16, width=384, depth=12, num_heads=6)

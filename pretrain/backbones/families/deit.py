"""Vision transformers as DeiT defines them: everything learned, one head per 64 channels.

Source: DeiT (arXiv 2012.12877), table 1; timm's ``deit_small_patch16_224`` and ``deit_base_patch16_224``.
"""

from __future__ import annotations

from functools import partial

from timm.models.vision_transformer import VisionTransformer
from torch import nn


def build_deit(*, image_size: int, patch_size: int, width: int, depth: int) -> VisionTransformer:
    """Return a ViT without a head whose forward returns the normalised class token, shape (B, width)."""
    return VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        embed_dim=width,
        depth=depth,
        num_heads=width // 64,
        mlp_ratio=4.0,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        num_classes=0,
        global_pool="token",
        dynamic_img_size=True,
    )

"""Vision transformers on timm's blocks, as DeiT and as MoCo-v3 define them.

Source of DeiT's: arXiv 2012.12877, table 1; timm's ``deit_small_patch16_224`` and ``deit_base_patch16_224``. All of it
is learned.

Source of MoCo-v3's: arXiv 2104.02057, section 4 "Vision transformers" and the official ``vits.py``: a fixed 2-D sin-cos
position embedding, xavier-uniform linear layers with query, key and value each initialised on its own, and a class
token drawn from N(0, 1e-6). A method that wants MoCo-v3's frozen random patch projection freezes it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn


def build_deit(*, image_size: int, patch_size: int, width: int, depth: int, num_heads: int) -> VisionTransformer:
    """Return DeiT's ViT without a head; its forward returns the normalised class token, shape (B, width).

    For images of another size than ``image_size``, the position embedding is interpolated bicubically.
    """
    return VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        embed_dim=width,
        depth=depth,
        num_heads=num_heads,
        mlp_ratio=4.0,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        num_classes=0,
        global_pool="token",
        dynamic_img_size=True,
    )


def build_vit(*, image_size: int, patch_size: int, width: int, depth: int, num_heads: int) -> VisionTransformer:
    """Return MoCo-v3's ViT, which differs from DeiT's in initialisation and position embedding."""
    model = build_deit(image_size=image_size, patch_size=patch_size, width=width, depth=depth, num_heads=num_heads)
    _initialise(model, width=width, patch_size=patch_size)
    rows, columns = model.patch_embed.grid_size
    model.pos_embed = nn.Parameter(sincos_position_embedding(rows, columns, width), requires_grad=False)
    return model


def freeze_patch_projection(model: nn.Module) -> None:
    """Keep a ViT's patch projection as it is (MoCo-v3, section 4.4); nothing happens to other backbones."""
    if isinstance(model, VisionTransformer):
        model.patch_embed.proj.requires_grad_(False)


def patch_size(model: nn.Module) -> int:
    """Return the side of a token's patch in pixels."""
    return int(cast(VisionTransformer, model).patch_embed.patch_size[0])


def masked_patch_tokens(model: nn.Module, images: Tensor, mask: Tensor, token: Tensor) -> Tensor:
    """Return the tokens of ``masked_tokens`` without those before the patches, (B, patches, width)."""
    return masked_tokens(model, images, mask, token)[:, cast(VisionTransformer, model).num_prefix_tokens :]


def masked_tokens(model: nn.Module, images: Tensor, mask: Tensor, token: Tensor) -> Tensor:
    """Return all normalised tokens (B, 1 + patches, width) of images with hidden patches (SimMIM, section 3.2).

    The embedding of a hidden patch is replaced by ``token`` before positions are added.

    Parameters
    ----------
    mask
        True where a patch is hidden, (B, patches).
    token
        (width,), or any shape that broadcasts to (B, patches, width).
    """

    def hide(_module: nn.Module, _inputs: object, embedded: Tensor) -> Tensor:
        flat = embedded.flatten(1, -2)  # (B, rows, columns, width) if the image size is dynamic, else flat already
        return torch.where(mask.unsqueeze(-1), token.to(flat.dtype), flat).view_as(embedded)

    vit = cast(VisionTransformer, model)
    # A hook leaves the rest of the forward pass to the model, including checkpointed blocks.
    with vit.patch_embed.register_forward_hook(hide):
        tokens: Tensor = vit.forward_features(images)
    return tokens


def visible_tokens(model: nn.Module, images: Tensor, kept: Tensor) -> Tensor:
    """Return the normalised class token and tokens of the patches ``kept``, (B, 1 + K, width), and compute no others.

    Positions are added before patches are dropped (MAE, section 3).

    Parameters
    ----------
    kept
        Numbers of patches in the order in which their tokens are returned, (B, K).
    """

    def drop(_module: nn.Module, _inputs: object, tokens: Tensor) -> Tensor:
        prefix = torch.zeros(len(kept), 1, dtype=kept.dtype, device=kept.device)
        chosen = torch.cat([prefix, kept + 1], dim=1).unsqueeze(-1)
        return tokens.gather(1, chosen.expand(-1, -1, tokens.shape[2]))

    vit = cast(VisionTransformer, model)
    with vit.patch_drop.register_forward_hook(drop):
        found: Tensor = vit.forward_features(images)
    return found


@torch.no_grad()
def _initialise(model: VisionTransformer, *, width: int, patch_size: int) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            # The fused weight stacks query, key and value; initialise each with its own fan-out.
            fan_out = module.out_features // 3 if name.endswith("qkv") else module.out_features
            bound = math.sqrt(6 / (fan_out + module.in_features))
            nn.init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    bound = math.sqrt(6 / (3 * patch_size**2 + width))
    nn.init.uniform_(model.patch_embed.proj.weight, -bound, bound)
    nn.init.zeros_(model.patch_embed.proj.bias)
    assert model.cls_token is not None
    nn.init.normal_(model.cls_token, std=1e-6)


def sincos_position_embedding(rows: int, columns: int, width: int, temperature: float = 10_000.0) -> Tensor:
    """Return the fixed position embedding, shape (1, 1 + rows·columns, width); the class token's row is zero.

    The first half of the channels encodes the row (sines, then cosines), the second half the column, at width/4
    frequencies from 1 down to 1/temperature.
    """
    if width % 4:
        raise ValueError(f"a 2-D sin-cos embedding needs a width divisible by 4, not {width}")
    frequencies = temperature ** -(torch.arange(width // 4, dtype=torch.float32) / (width // 4))
    row, column = torch.meshgrid(
        torch.arange(rows, dtype=torch.float32), torch.arange(columns, dtype=torch.float32), indexing="ij"
    )
    row_angles = row.reshape(-1, 1) * frequencies
    column_angles = column.reshape(-1, 1) * frequencies
    patches = torch.cat([row_angles.sin(), row_angles.cos(), column_angles.sin(), column_angles.cos()], dim=1)
    return torch.cat([torch.zeros(1, width), patches]).unsqueeze(0)

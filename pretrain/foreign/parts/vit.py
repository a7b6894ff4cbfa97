"""The layout of a vision transformer in timm's names, derived from shapes. Imports torch only to compare."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pretrain.checkpoint import shapes_of
from pretrain.errors import InputError
from pretrain.foreign.interface import State
from pretrain.wording import refuse_differences

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS_PER_HEAD = 64
"""Channels per head in timm and DeiT; MoCo-v3 has 12 heads whatever the width."""
_SINCOS_COSINE = 0.8
_SINCOS_TOLERANCE = 1e-3


@dataclass(frozen=True)
class VitGeometry:
    """Sizes of a ViT that follow from its shapes; the number of heads does not."""

    width: int
    depth: int
    patch_size: int
    mlp_width: int
    grid: int

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""
        return self.grid * self.patch_size

    def __str__(self) -> str:
        return f"a ViT of width {self.width}, depth {self.depth}, patch {self.patch_size}"


def looks_like_vit(state: State) -> bool:
    """Return whether the names are those of a ViT with a class token."""
    return {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"} <= state.keys()


def checked_geometry(state: State, what: str) -> VitGeometry:
    """Return the geometry of a ViT in timm's names after checking that keys and shapes are exactly a ViT's.

    Raises
    ------
    InputError
        A key is missing, left over or of another shape; the message begins with ``what``.
    """
    geometry = _geometry(state, what)
    found = shapes_of(state)
    refuse_differences(found, vit_shapes(geometry), what)
    return geometry


def vit_shapes(geometry: VitGeometry) -> dict[str, tuple[int, ...]]:
    """Return every key of a ViT without a head, with its shape."""
    width = geometry.width
    return {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + geometry.grid**2, width),
        "patch_embed.proj.weight": (width, 3, geometry.patch_size, geometry.patch_size),
        "patch_embed.proj.bias": (width,),
        **blocks_shapes("blocks", geometry.depth, width, geometry.mlp_width),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }


def blocks_shapes(name: str, depth: int, width: int, mlp_width: int) -> dict[str, tuple[int, ...]]:
    """Return every key of the transformer blocks ``name.0``, ``name.1``, …, with its shape."""
    block = {
        "norm1.weight": (width,),
        "norm1.bias": (width,),
        "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width),
        "attn.proj.bias": (width,),
        "norm2.weight": (width,),
        "norm2.bias": (width,),
        "mlp.fc1.weight": (mlp_width, width),
        "mlp.fc1.bias": (mlp_width,),
        "mlp.fc2.weight": (width, mlp_width),
        "mlp.fc2.bias": (width,),
    }
    return {f"{name}.{index}.{key}": shape for index in range(depth) for key, shape in block.items()}


def resembles_sincos(state: State) -> bool:
    """Return whether the position embedding is close to MoCo-v3's 2-D sin-cos, as it is after some finetuning."""
    from torch.nn import functional as F

    patches, formula = (tensor.flatten() for tensor in _patch_positions(state))
    return bool(F.cosine_similarity(patches, formula, dim=0) > _SINCOS_COSINE)


def is_sincos(state: State) -> bool:
    """Return whether the position embedding equals the fixed 2-D sin-cos, up to half precision.

    MoCo-v3 puts the row into the first half of the channels, MAE the column.
    """
    patches, formula = _patch_positions(state)
    half = formula.shape[1] // 2
    return any(bool((patches - each).abs().max() < _SINCOS_TOLERANCE) for each in (formula, formula.roll(half, 1)))


def _patch_positions(state: State) -> tuple[Tensor, Tensor]:
    """Return the position embedding without the class token's row, and the formula's values; both (tokens, width)."""
    from pretrain.backbones.families.vit import sincos_position_embedding

    embedding = state["pos_embed"].float()[0, 1:]
    if embedding.shape[1] % 4:
        return embedding, embedding.new_full(embedding.shape, math.inf)
    grid = math.isqrt(len(embedding))
    return embedding, sincos_position_embedding(grid, grid, embedding.shape[1])[0, 1:]


def _geometry(state: State, what: str) -> VitGeometry:
    shapes = shapes_of(state)
    rank = {"patch_embed.proj.weight": 4, "pos_embed": 3, "blocks.0.mlp.fc1.weight": 2}
    for key, dimensions in rank.items():
        if key not in shapes:
            raise InputError(f"{what}: missing {key}")
        if len(shapes[key]) != dimensions:
            raise InputError(f"{what}: {key} has shape {shapes[key]}, which no ViT has")
    width, _, patch_size, _ = shapes["patch_embed.proj.weight"]
    tokens = shapes["pos_embed"][1] - 1
    grid = math.isqrt(max(tokens, 0))
    if grid < 1 or grid**2 != tokens:
        raise InputError(f"{what}: pos_embed has {tokens + 1} rows, not those of a class token and a square of patches")
    return VitGeometry(width, count_blocks(state), patch_size, shapes["blocks.0.mlp.fc1.weight"][0], grid)


def count_blocks(state: State, name: str = "blocks") -> int:
    """Return how many blocks ``name.0``, ``name.1``, … there are; a gap shows as missing keys later."""
    return len({int(found[1]) for key in state if (found := re.match(rf"{name}\.(\d+)\.", key))})

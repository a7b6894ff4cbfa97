"""The layout of BEiT's vision transformer, which SimMIM has too. Imports torch only to compute.

Query and value have a bias each, keys have none. Either all blocks share one table of relative position biases, which
our Beit backbones have too, or there is a position embedding, and a plain ViT computes the same.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pretrain.checkpoint import shapes_of
from pretrain.errors import InputError
from pretrain.foreign.interface import State
from pretrain.foreign.parts.vit import VitGeometry, blocks_shapes, count_blocks
from pretrain.wording import refuse_differences

if TYPE_CHECKING:
    from torch import Tensor

TABLE = "rel_pos_bias.relative_position_bias_table"
INDEX = "rel_pos_bias.relative_position_index"
_BLOCK_TABLE = ".attn.relative_position_bias_table"
_CLASS_TOKEN_ROWS = 3
"""Rows of a table for the class token: to a patch, from a patch, to itself."""


def looks_like_beit(state: State) -> bool:
    """Return whether the names are those of a ViT with biases for query and value alone."""
    return {"cls_token", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.0.attn.q_bias"} <= state.keys()


def looks_relative(state: State) -> bool:
    """Return whether the names are those of a BEiT whose blocks share relative positions."""
    return looks_like_beit(state) and TABLE in state


def checked_geometry(state: State, what: str) -> VitGeometry:
    """Return the sizes of a BEiT with relative positions after checking that keys and shapes are exactly those of one.

    Raises
    ------
    InputError
        A key is missing, left over or of another shape; the message begins with ``what``.
    """
    geometry, num_heads = _geometry(state, what)
    expected = _shapes(geometry) | {TABLE: (_table_rows(geometry.grid), num_heads)}
    refuse_differences(shapes_of(state), expected, what)
    return geometry


def without_index(state: dict[str, Tensor], what: str) -> dict[str, Tensor]:
    """Return the state without the index of the table, which our backbone computes, after comparing the two.

    Raises
    ------
    InputError
        The blocks have tables of their own, or the index is another one.
    """
    from timm.models.beit import gen_relative_position_index

    if any(name.endswith(_BLOCK_TABLE) for name in state):
        raise InputError(
            f"{what}: each block has its own relative positions, so this was finetuned; take the pretrained checkpoint "
            "it came from, whose blocks share rel_pos_bias"
        )
    kept = {name: tensor for name, tensor in state.items() if name != INDEX}
    if INDEX in state and looks_relative(state):
        grid = checked_geometry(kept, what).grid
        if not state[INDEX].equal(gen_relative_position_index((grid, grid)).to(state[INDEX].dtype)):
            raise InputError(f"{what}: {INDEX} is not that of BEiT for {grid}×{grid} patches, so positions differ")
    return kept


def plain(state: State, what: str) -> dict[str, Tensor]:
    """Return a BEiT with a position embedding as a plain ViT under timm's names; both compute the same.

    The keys' bias is 0, and layer scale is multiplied into the last layer of each branch.

    Raises
    ------
    InputError
        A block lacks a tensor, or two tensors don't fit together.
    """
    import torch

    ours = dict(state)
    blocks = [f"blocks.{index}" for index in range(count_blocks(state))]
    scales = [f"{block}.{gamma}" for block in blocks for gamma in ("gamma_1", "gamma_2")]
    if missing := [name for name in scales if name not in state and any(other in state for other in scales)]:
        raise InputError(f"{what}: missing {missing[0]}; layer scale is in all blocks or in none")
    for block in blocks:
        query, value = (ours.pop(f"{block}.attn.{name}", None) for name in ("q_bias", "v_bias"))
        if query is None or value is None or query.ndim != 1 or value.ndim != 1:
            raise InputError(f"{what}: {block}.attn.q_bias or v_bias is missing or of another shape than (width,)")
        ours[f"{block}.attn.qkv.bias"] = torch.cat([query, torch.zeros_like(value), value])
        for gamma, layer in (("gamma_1", "attn.proj"), ("gamma_2", "mlp.fc2")):
            scale = ours.pop(f"{block}.{gamma}", None)
            for name in (f"{block}.{layer}.weight", f"{block}.{layer}.bias"):
                if scale is None or name not in ours:
                    continue
                if scale.shape != ours[name].shape[:1] or ours[name].ndim > 2:
                    raise InputError(f"{what}: {block}.{gamma} has shape {tuple(scale.shape)}, unlike {name}")
                ours[name] = ours[name] * (scale if ours[name].ndim == 1 else scale[:, None])
    return ours


def _geometry(state: State, what: str) -> tuple[VitGeometry, int]:
    shapes = shapes_of(state)
    for key, dimensions in {"patch_embed.proj.weight": 4, TABLE: 2, "blocks.0.mlp.fc1.weight": 2}.items():
        if len(shapes.get(key, ())) != dimensions:
            raise InputError(f"{what}: {f'missing {key}' if key not in shapes else f'{key} has shape {shapes[key]}'}")
    rows, num_heads = shapes[TABLE]
    grid = (math.isqrt(max(rows - _CLASS_TOKEN_ROWS, 0)) + 1) // 2
    if grid < 1 or _table_rows(grid) != rows:
        raise InputError(f"{what}: {TABLE} has {rows} rows, which no square of patches has")
    width, _, patch_size, _ = shapes["patch_embed.proj.weight"]
    return VitGeometry(width, count_blocks(state), patch_size, shapes["blocks.0.mlp.fc1.weight"][0], grid), num_heads


def _table_rows(grid: int) -> int:
    return (2 * grid - 1) ** 2 + _CLASS_TOKEN_ROWS


def _shapes(geometry: VitGeometry) -> dict[str, tuple[int, ...]]:
    width = geometry.width
    blocks = blocks_shapes("blocks", geometry.depth, width, geometry.mlp_width)
    own = {
        f"blocks.{index}.{name}": (width,)
        for index in range(geometry.depth)
        for name in ("gamma_1", "gamma_2", "attn.q_bias", "attn.v_bias")
    }
    return {
        "cls_token": (1, 1, width),
        "patch_embed.proj.weight": (width, 3, geometry.patch_size, geometry.patch_size),
        "patch_embed.proj.bias": (width,),
        **{name: shape for name, shape in blocks.items() if not name.endswith("qkv.bias")},
        **own,
        "norm.weight": (width,),
        "norm.bias": (width,),
    }

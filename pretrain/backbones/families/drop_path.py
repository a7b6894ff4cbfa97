"""Stochastic depth (Huang et al. 2016) for any backbone of transformer blocks."""

from __future__ import annotations

import torch
from torch import nn

from pretrain.errors import InputError


def set_drop_path(backbone: nn.Module, rate: float) -> None:
    """Drop residual branches (stochastic depth), at rates rising linearly from 0 to ``rate`` over the blocks.

    Raises
    ------
    InputError
        A rate above 0 on a backbone without transformer blocks.
    """
    from timm.layers.drop import DropPath

    if rate == 0:
        return
    blocks = getattr(backbone, "blocks", None)
    if blocks is None:
        raise InputError(f"drop_path_rate: {rate:g} needs a vision transformer; a ResNet takes 0")
    for block, block_rate in zip(blocks, torch.linspace(0, rate, len(blocks)).tolist(), strict=True):
        block.drop_path1 = DropPath(block_rate)
        block.drop_path2 = DropPath(block_rate)

"""Stochastic depth (Huang et al. 2016) for any backbone of transformer blocks."""

from __future__ import annotations

import numpy as np
import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

from pretrain.batch import Place
from pretrain.errors import InputError
from pretrain.randomness import derive_seed


class DropPathByRow(DropPath):
    """timm's drop path, with a draw that depends on an image's row in the global batch, not on the other images.

    Each forward pass takes one number from torch's CPU generator, whatever the rows, and seeds the rows' draws with it.
    So gradient checkpointing, which restores the generator's state, repeats the draw.
    """

    first_row = 0
    """Row, in the global batch, of the first image of the next forward passes."""
    row_stride = 1
    """Distance in rows between two images of a forward pass: n if this process holds every n-th row."""

    def forward(self, x: Tensor) -> Tensor:
        if self.drop_prob == 0 or not self.training:
            return x
        kept: Tensor = self._draw(len(x))
        kept = kept.to(x.device, x.dtype, non_blocking=True)
        return x * kept.view(-1, *[1] * (x.ndim - 1)) / (1 - self.drop_prob)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _draw(self, rows: int) -> Tensor:
        """Return a float per image, (rows,): 1 keeps the branch, 0 drops it."""
        generator = np.random.PCG64(int(torch.randint(2**62, ())))
        # Each number takes one step of the generator, so skip the numbers of the rows before.
        generator.advance(self.first_row)
        drawn = np.random.Generator(generator).random(rows * self.row_stride)[:: self.row_stride]
        return torch.from_numpy(drawn >= self.drop_prob)


def set_drop_path(backbone: nn.Module, rate: float) -> None:
    """Drop residual branches (stochastic depth) at rates that rise linearly from 0 to ``rate`` over the blocks.

    Raises
    ------
    InputError
        ``rate`` is above 0 and the backbone has no transformer blocks.
    """
    if rate == 0:
        return
    blocks = getattr(backbone, "blocks", None)
    if blocks is None:
        raise InputError(f"drop_path_rate: {rate:g} needs a vision transformer; a ResNet takes 0")
    for block, block_rate in zip(blocks, torch.linspace(0, rate, len(blocks)).tolist(), strict=True):
        block.drop_path1 = DropPathByRow(block_rate)
        block.drop_path2 = DropPathByRow(block_rate)


def draw_paths_at(backbone: nn.Module, place: Place) -> None:
    """Make the drop paths of the next forward pass depend only on ``place``, the position of its images."""
    if set_rows(backbone, place.first_row):
        torch.manual_seed(derive_seed(place.draw_seed, place.view))


def set_rows(backbone: nn.Module, first_row: int, row_stride: int = 1) -> bool:
    """Set the rows of the global batch that this process holds in every drop path; return False if there is none."""
    paths = [module for module in backbone.modules() if isinstance(module, DropPathByRow)]
    for path in paths:
        path.first_row, path.row_stride = first_row, row_stride
    return bool(paths)

"""Masks made of blocks, as BEiT draws them: iBOT uses the same sampler with other numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pretrain.batch import Place

LOWEST_RATIO = 0.3
"""Height over width of a block lies between this and its inverse, uniform in the logarithm."""
ATTEMPTS = 10
"""Blocks drawn before the mask stays as it is."""

Mask = npt.NDArray[np.bool_]


def block_mask(rows: int, columns: int, count: float, smallest: int, generator: np.random.Generator) -> Mask:
    """Return a mask of patches, (rows, columns), that hides at most ``count`` of them in blocks of random shape.

    Blocks are added until ``count`` patches are hidden, or until ten blocks in a row hide nothing new or too much.
    Source: BEiT's official ``masking_generator.py``.

    Parameters
    ----------
    smallest
        Patches of the smallest block. The area is uniform between this and the number that is missing.
    """
    mask = np.zeros((rows, columns), dtype=bool)
    while (missing := count - int(mask.sum())) > 0:
        for _ in range(ATTEMPTS):
            area = smallest + (missing - smallest) * generator.random()
            ratio = math.exp(math.log(LOWEST_RATIO) * (1 - 2 * generator.random()))
            height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if height >= rows or width >= columns:
                continue
            top, left = generator.integers(rows - height + 1), generator.integers(columns - width + 1)
            block = mask[top : top + height, left : left + width]
            if 0 < block.size - int(block.sum()) <= missing:
                block[:] = True
                break
        else:
            return mask
    return mask


def masks_at(place: Place, count: int, draw: Callable[[np.random.Generator], Mask]) -> Tensor:
    """Return ``count`` masks, (count, patches), of the images at ``place``; each image has a generator of its own."""
    rows = range(place.first_row, place.first_row + count)
    drawn = [draw(np.random.default_rng((place.draw_seed, place.view, row))) for row in rows]
    return torch.from_numpy(np.stack(drawn)).flatten(1)

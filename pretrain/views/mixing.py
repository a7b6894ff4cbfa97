"""Mixup and CutMix of a batch, on the device, after augmentation; pretraining and finetuning share them.

One draw serves the whole global batch. Each sample is mixed with a partner on the same process, so several processes
mix the batch as one process would.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pretrain.config import MixingConfig
from pretrain.views.crop import Box


@dataclass(frozen=True)
class Mixing:
    """One step's draw: the share ``kept`` of each sample, and the box that is taken from the partner.

    Without a box (mixup), whole images are blended.
    """

    kept: float
    box: Box | None = None


def draw_mixing(config: MixingConfig, size: int, rng: np.random.Generator) -> Mixing:
    """Draw mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019) for square images of ``size`` pixels.

    CutMix's box is that of timm up to 1.0.29, which DeiT used: ``cut // 2`` pixels on either side of its centre, where
    ``cut = int(size * sqrt(1 - kept))``. (timm 1.0.31 takes ``(cut + 1) // 2`` on one side.) The box is clipped to the
    image, and its area after clipping determines the share that is kept.
    """
    both = config.mixup_alpha > 0 and config.cutmix_alpha > 0
    cuts = rng.random() < config.switch_probability if both else config.cutmix_alpha > 0
    alpha = config.cutmix_alpha if cuts else config.mixup_alpha
    kept = float(rng.beta(alpha, alpha)) if alpha > 0 else 1.0
    if not cuts:
        return Mixing(kept)
    half = int(size * math.sqrt(1 - kept)) // 2
    row, column = (int(centre) for centre in rng.integers(size, size=2))
    top, bottom = max(row - half, 0), min(row + half, size)
    left, right = max(column - half, 0), min(column + half, size)
    box = Box(top, left, bottom - top, right - left)
    return Mixing(1 - box.height * box.width / size**2, box)


Swap = Callable[[Tensor], Tensor]
"""Replaces each sample of a batch by its partner; the batch must have an even number of rows."""


def swap_neighbours(rows: Tensor) -> Tensor:
    """Return rows 0, 1, 2, 3, … as 1, 0, 3, 2, …, for processes that hold consecutive rows of the global batch."""
    return rows.reshape(-1, 2, *rows.shape[1:]).flip(1).reshape(rows.shape)


def swap_halves(rows: Tensor) -> Tensor:
    """Return row (i + B/2) mod B in the place of row i, for processes that hold every n-th row of the global batch.

    Copies of an image in neighbouring rows (repeated augmentation) are then never partners.
    """
    return rows.roll(len(rows) // 2, 0)


def mix_images(images: Tensor, mixing: Mixing, swap: Swap = swap_neighbours) -> Tensor:
    """Return images (B, 3, size, size), B even, blended with their partners or with the partners' box pasted in."""
    partners = swap(images)
    if mixing.box is None:
        return torch.lerp(partners, images, mixing.kept)
    box = mixing.box
    mixed = images.clone()
    inside = (..., slice(box.top, box.top + box.height), slice(box.left, box.left + box.width))
    mixed[inside] = partners[inside]
    return mixed


def mix_labels(labels: Tensor, num_classes: int, mixing: Mixing, swap: Swap = swap_neighbours) -> Tensor:
    """Return the class probabilities (B, num_classes), float32, of mixed images with class indices (B,)."""
    one_hot = F.one_hot(labels, num_classes).to(torch.float32)
    return torch.lerp(swap(one_hot), one_hot, mixing.kept)

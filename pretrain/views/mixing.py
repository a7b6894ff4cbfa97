"""Mixup and CutMix of a batch, on the device, after its views were augmented: one definition for every training.

One draw serves the whole global batch. Each sample mixes with one partner of the same process, so a process that holds
a part of the batch mixes its rows as one process would mix them all.
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
    """One step's draw: each sample keeps the share ``kept`` of its own, and ``box`` comes from its partner.

    Without a box the whole images are blended.
    """

    kept: float
    box: Box | None = None


def draw_mixing(config: MixingConfig, size: int, rng: np.random.Generator) -> Mixing:
    """Draw mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019) for square images of ``size`` pixels.

    CutMix's box is the one of DeiT's time (timm up to 1.0.29): ``cut // 2`` pixels on either side of its centre, where
    ``cut = int(size * sqrt(1 - kept))``; timm 1.0.31 takes ``(cut + 1) // 2`` on one side. The box may reach over
    the border: what lies inside decides the share that is kept.
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
"""Puts each sample's partner in its row; the batch has an even number of rows."""


def swap_neighbours(rows: Tensor) -> Tensor:
    """Rows 0, 1, 2, 3, … as 1, 0, 3, 2, …: partners for processes that hold consecutive rows of the global batch."""
    return rows.reshape(-1, 2, *rows.shape[1:]).flip(1).reshape(rows.shape)


def swap_halves(rows: Tensor) -> Tensor:
    """Row i as row i + B/2, modulo B: partners for processes that hold every n-th row of the global batch.

    Copies of an image that lie next to each other (repeated augmentation) never mix with each other.
    """
    return rows.roll(len(rows) // 2, 0)


def mix_images(images: Tensor, mixing: Mixing, swap: Swap = swap_neighbours) -> Tensor:
    """Blend, or cut and paste, images (B, 3, size, size) with their partners; B is even."""
    partners = swap(images)
    if mixing.box is None:
        return torch.lerp(partners, images, mixing.kept)
    box = mixing.box
    mixed = images.clone()
    inside = (..., slice(box.top, box.top + box.height), slice(box.left, box.left + box.width))
    mixed[inside] = partners[inside]
    return mixed


def mix_labels(labels: Tensor, num_classes: int, mixing: Mixing, swap: Swap = swap_neighbours) -> Tensor:
    """Class indices (B,) to class probabilities (B, num_classes), float32."""
    own = F.one_hot(labels, num_classes).to(torch.float32)
    return torch.lerp(swap(own), own, mixing.kept)

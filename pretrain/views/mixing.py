"""Mixup and CutMix of a batch, on the device, after its views were augmented.

Each sample mixes with its neighbour: the rows 2i and 2i + 1 with each other. Batches come in random order, so that is
as good as any pairing, and a process that holds consecutive rows, an even number of them, mixes as a larger one would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pretrain.config import MixingConfig
from pretrain.views.crop import Box


@dataclass(frozen=True)
class Mixing:
    """One step's draw: each sample keeps the share ``kept`` of its own, and ``box`` comes from the neighbour.

    Without a box the whole images are blended.
    """

    kept: float
    box: Box | None = None


def draw_mixing(config: MixingConfig, size: int, rng: np.random.Generator) -> Mixing:
    """Mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019), distributed as timm draws them for square images.

    CutMix's box may reach over the border: what lies inside decides the share that is kept.
    """
    both = config.mixup_alpha > 0 and config.cutmix_alpha > 0
    cuts = rng.random() < config.switch_probability if both else config.cutmix_alpha > 0
    alpha = config.cutmix_alpha if cuts else config.mixup_alpha
    kept = float(rng.beta(alpha, alpha)) if alpha > 0 else 1.0
    if not cuts:
        return Mixing(kept)
    half = int(size * math.sqrt(1 - kept)) // 2
    row, column = (int(place) for place in rng.integers(size, size=2))
    top, bottom = max(row - half, 0), min(row + half, size)
    left, right = max(column - half, 0), min(column + half, size)
    box = Box(top, left, bottom - top, right - left)
    return Mixing(1 - box.height * box.width / size**2, box)


def mix_images(images: Tensor, mixing: Mixing) -> Tensor:
    """(B, 3, size, size), B even."""
    neighbours = _swapped(images)
    if mixing.box is None:
        return torch.lerp(neighbours, images, mixing.kept)
    box = mixing.box
    mixed = images.clone()
    inside = (..., slice(box.top, box.top + box.height), slice(box.left, box.left + box.width))
    mixed[inside] = neighbours[inside]
    return mixed


def mix_labels(labels: Tensor, num_classes: int, mixing: Mixing) -> Tensor:
    """Class indices (B,) to class probabilities (B, num_classes), float32."""
    own = F.one_hot(labels, num_classes).to(torch.float32)
    return torch.lerp(_swapped(own), own, mixing.kept)


def _swapped(rows: Tensor) -> Tensor:
    """Rows 0, 1, 2, 3, … as 1, 0, 3, 2, …."""
    return rows.reshape(-1, 2, *rows.shape[1:]).flip(1).reshape(rows.shape)

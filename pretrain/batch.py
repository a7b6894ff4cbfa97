"""What a method is handed at each step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """This process's share of one global batch.

    Parameters
    ----------
    views
        One or more augmented, normalised views of the same images, each (B, 3, H, W).
    labels
        Class indices (B,), or class probabilities (B, classes).
    indices
        Positions of the images in the training split, (B,); they name the batch in error messages.
    """

    views: tuple[Tensor, ...]
    labels: Tensor
    indices: Tensor

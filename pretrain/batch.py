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
    first_row
        Row of this share's first image in the global batch.
    draw_seed
        What a method's own random draws of this step derive from, the same on every process. A draw for the global
        batch of which a process takes its rows depends neither on how many processes there are nor on a restart.
    """

    views: tuple[Tensor, ...]
    labels: Tensor
    indices: Tensor
    first_row: int = 0
    draw_seed: int = 0

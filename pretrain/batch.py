"""The data that a method gets at each step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Place:
    """The position of some images of one view in the global batch.

    A method derives its random draws from this position. So they depend neither on the number of processes, nor on
    micro-batches, nor on a restart.

    Parameters
    ----------
    draw_seed
        Seed of the step, equal on every process.
    view
        Number of the view.
    first_row
        Row of the first image; the others follow.
    """

    draw_seed: int = 0
    view: int = 0
    first_row: int = 0


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
        Seed of the step for the method's random draws, equal on every process.
    """

    views: tuple[Tensor, ...]
    labels: Tensor
    indices: Tensor
    first_row: int = 0
    draw_seed: int = 0

    def place(self, view: int) -> Place:
        """Return the position of this share's images of a view."""
        return Place(self.draw_seed, view, self.first_row)

"""What a method is handed at each step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Place:
    """Where some images of one view are: what a method's own draws for each of them derive from.

    Drawn so, they depend neither on the number of processes nor on micro-batches nor on a restart.

    Parameters
    ----------
    draw_seed
        The step's, the same on every process.
    view
        Number of the view.
    first_row
        Row of the first image in the global batch; the others follow.
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
        What a method's own draws of this step derive from.
    """

    views: tuple[Tensor, ...]
    labels: Tensor
    indices: Tensor
    first_row: int = 0
    draw_seed: int = 0

    def place(self, view: int) -> Place:
        """Where this share's images of a view are."""
        return Place(self.draw_seed, view, self.first_row)

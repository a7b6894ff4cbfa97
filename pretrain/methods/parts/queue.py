"""A first-in first-out memory of rows, as MoCo's queue of keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pretrain.errors import InputError


class Queue(nn.Module):
    """The last ``size`` rows that were put in, (size, dimension); unit vectors in random directions at first.

    Its rows and its position are buffers, so that a restart goes on with the same ones. Put in the gathered rows of
    all processes: each process then has the same queue.
    """

    rows: Tensor
    position: Tensor

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("rows", nn.functional.normalize(torch.randn(size, dimension), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    def forward(self) -> Tensor:
        """A copy of the rows. A backward pass may need them after ``put`` has replaced some."""
        return self.rows.clone()

    @torch.no_grad()
    def put(self, rows: Tensor) -> None:
        """Replace the oldest rows.

        Raises
        ------
        InputError
            The queue's size is no multiple of the number of rows.
        """
        size, count = len(self.rows), len(rows)
        if size % count:
            raise InputError(f"queue: its size {size} must be a multiple of the {count} images of a step")
        start = int(self.position)
        self.rows[start : start + count] = rows.to(self.rows.dtype)
        self.position.fill_((start + count) % size)

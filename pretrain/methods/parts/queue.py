"""A first-in, first-out queue of rows, such as MoCo's queue of keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pretrain.errors import InputError


class Queue(nn.Module):
    """Holds the last ``size`` rows, (size, dimension); at first, random unit vectors.

    Rows and position are buffers, so a restart continues with them. Put in the gathered rows of all processes, so that
    every process has the same queue.
    """

    rows: Tensor
    position: Tensor

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("rows", nn.functional.normalize(torch.randn(size, dimension), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    def forward(self) -> Tensor:
        """Return a copy of the rows: a backward pass may need them after ``put`` has replaced some."""
        return self.rows.clone()

    @torch.no_grad()
    def put(self, rows: Tensor) -> None:
        """Replace the oldest rows by ``rows``, (count, dimension).

        Raises
        ------
        InputError
            ``size`` is not a multiple of ``count``.
        """
        size, count = len(self.rows), len(rows)
        if size % count:
            raise InputError(f"queue: its size {size} must be a multiple of the {count} rows of a step")
        start = int(self.position)
        self.rows[start : start + count] = rows.to(self.rows.dtype)
        self.position.fill_((start + count) % size)

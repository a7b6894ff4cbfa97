"""Gathers rows of all processes, for losses that couple the images of a global batch."""

from __future__ import annotations

import torch
from torch import Tensor

from pretrain.distributed import gather, get_rank, get_world_size, sum_over_processes

__all__ = ["gather", "gather_with_gradient", "mean_of_rows", "rows_of_this_process"]


def gather_with_gradient(local: Tensor) -> Tensor:
    """Return the rows of all processes in rank order, with gradient: (B, …) on each becomes (world·B, …).

    Every process's loss depends on every row, so a row's gradient is summed over all processes.
    """
    if get_world_size() == 1:
        return local
    blocks = [torch.zeros_like(local) for _ in range(get_world_size())]
    blocks[get_rank()] = local
    return sum_over_processes(torch.cat(blocks))


def rows_of_this_process(count: int) -> slice:
    """Return the slice of this process's ``count`` rows among the gathered rows."""
    return slice(get_rank() * count, (get_rank() + 1) * count)


def mean_of_rows(local: Tensor) -> Tensor:
    """Return the mean over the rows of all processes, with gradient: (B, …) on each becomes (…)."""
    mean = local.mean(dim=0)
    return mean if get_world_size() == 1 else sum_over_processes(mean.contiguous()) / get_world_size()

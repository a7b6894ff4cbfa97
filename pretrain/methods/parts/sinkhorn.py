"""Sinkhorn-Knopp: assignments of rows to prototypes that use all prototypes equally often."""

from __future__ import annotations

import torch
from torch import Tensor

from pretrain.methods.parts.gather import gather, rows_of_this_process


@torch.no_grad()
def balanced_assignments(scores: Tensor, iterations: int) -> Tensor:
    """Return this process's rows (B, K), scaled so that over all processes each column has an equal sum.

    Each iteration divides by the columns' sums and then by the rows'. So rows sum to exactly 1, and columns nearly to
    rows / K. Source: MSN's official ``losses.py``.

    Parameters
    ----------
    scores
        Non-negative, (B, K).
    """
    everyone = gather(scores)
    for _ in range(iterations):
        everyone = everyone / everyone.sum(dim=0, keepdim=True)
        everyone = everyone / everyone.sum(dim=1, keepdim=True)
    return everyone[rows_of_this_process(len(scores))]

"""A first-in, first-out queue of rows, such as MoCo's queue of keys, and the loss that contrasts with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.errors import InputError
from pretrain.hierarchy.objectives import SpaceViews
from pretrain.method import Step
from pretrain.methods.parts.collapse import feature_std


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


class QueueContrast(nn.Module):
    """InfoNCE between a query, its positive key and the keys of earlier steps (He et al., arXiv 1911.05722, eq. 1).

    An objective of a hierarchy whose online network sees view 0 and whose target network sees view 1. The keys of a
    step enter the queue after the step, so they are negatives from the next step on.
    """

    weight = 1.0

    def __init__(self, size: int, dimension: int, temperature: float, target_space: str) -> None:
        super().__init__()
        self.temperature, self.target_space = temperature, target_space
        self.queue = Queue(size, dimension)
        self._keys: Tensor | None = None

    def loss(self, views: SpaceViews) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean over this process's queries."""
        queries = F.normalize(views.online[0], dim=1)
        keys = F.normalize(views.target[1][self.target_space].detach(), dim=1)
        positive = keys[views.first_key : views.first_key + len(queries)]
        logits = torch.cat([(queries * positive).sum(dim=1, keepdim=True), queries @ self.queue().to(queries).T], dim=1)
        loss = F.cross_entropy(logits / self.temperature, logits.new_zeros(len(logits), dtype=torch.long))
        self._keys = keys
        return loss, {"contrastive_loss": loss.detach(), "feature_std": feature_std(queries.detach())}

    def after_step(self, step: Step) -> None:
        """Put the step's keys into the queue."""
        assert self._keys is not None, "loss comes before after_step"
        self.queue.put(self._keys)
        self._keys = None

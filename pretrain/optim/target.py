"""Momentum targets: networks that follow others as an exponential moving average of their weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def follow(target: Iterable[nn.Module], online: Iterable[nn.Module], momentum: float) -> None:
    """Move each target's parameters towards the online network's: momentum·target + (1 - momentum)·online.

    Buffers stay: a target's batch normalisations have statistics of their own.
    """
    followers: list[Tensor] = [parameter for module in target for parameter in module.parameters()]
    leaders: list[Tensor] = [parameter.detach() for module in online for parameter in module.parameters()]
    with torch.no_grad():
        torch._foreach_mul_(followers, momentum)
        torch._foreach_add_(followers, leaders, alpha=1 - momentum)

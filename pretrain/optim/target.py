"""Updates momentum targets: networks whose weights are an exponential moving average of another network's."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def follow(target: Iterable[nn.Module], online: Iterable[nn.Module], momentum: float) -> None:
    """Set each target's parameters to momentum·target + (1 - momentum)·online.

    Buffers stay, so that a target's batch normalisations keep statistics of their own.
    """
    followers: list[Tensor] = [parameter for module in target for parameter in module.parameters()]
    leaders: list[Tensor] = [parameter.detach() for module in online for parameter in module.parameters()]
    with torch.no_grad():
        torch._foreach_mul_(followers, momentum)
        torch._foreach_add_(followers, leaders, alpha=1 - momentum)

"""LARS, layer-wise adaptive rate scaling (You et al., arXiv 1708.03888), in MoCo-v3's variant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class LARS(Optimizer):
    """SGD with momentum that scales the step of each layer by ``trust · ‖w‖ / ‖g + decay · w‖``.

    Parameters with at most one dimension (biases, normalisation) get neither decay nor scaling. The scale is 1 if
    either norm is 0. Source: MoCo-v3's official ``optimizer.py``.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        weight_decay: float,
        momentum: float = 0.9,
        trust_coefficient: float = 0.001,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "trust_coefficient": trust_coefficient,
        }
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update the parameters; ``closure`` only matches the base class's signature and is ignored."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            matrices = [p for p in parameters if p.ndim > 1]
            vectors = [p for p in parameters if p.ndim <= 1]
            updates = self._scaled(matrices, group) + [p.grad for p in vectors if p.grad is not None]
            ordered = matrices + vectors
            for parameter in ordered:
                if "momentum_buffer" not in self.state[parameter]:
                    self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
            buffers = [self.state[parameter]["momentum_buffer"] for parameter in ordered]
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, updates)
            torch._foreach_add_(ordered, buffers, alpha=-group["lr"])

    def _scaled(self, matrices: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        """Return gradients with decay, each scaled by its layer's ratio; a GPU kernel handles many layers at once."""
        if not matrices:
            return []
        gradients = [p.grad for p in matrices if p.grad is not None]
        updates = list(torch._foreach_add(gradients, matrices, alpha=group["weight_decay"]))
        weight_norms = torch.stack(list(torch._foreach_norm(matrices)))
        update_norms = torch.stack(list(torch._foreach_norm(updates)))
        usable = (weight_norms > 0) & (update_norms > 0)
        ratios = torch.where(usable, group["trust_coefficient"] * weight_norms / update_norms, 1.0)
        torch._foreach_mul_(updates, list(ratios.unbind()))
        return updates

"""Averages logged scalars between two rows of a run's curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pretrain.distributed import mean_over_processes


@dataclass
class RunningMean:
    """The mean of each logged scalar since the last row."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0

    def add(self, values: dict[str, Tensor]) -> None:
        self.count += 1
        for name, value in values.items():
            self.sums[name] = self.sums[name].to(value.device) + value if name in self.sums else value

    def take(self) -> dict[str, float]:
        """Return the means over steps and processes, and start anew. Every process must call this."""
        means = mean_over_processes({name: total / self.count for name, total in self.sums.items()})
        self.sums, self.count = {}, 0
        return means

    def state(self) -> dict[str, Any]:
        """Return the sums so far, averaged over the processes. Every process must call this."""
        return {"sums": mean_over_processes(self.sums), "count": self.count}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state`` returned."""
        self.sums = {name: torch.tensor(total) for name, total in state["sums"].items()}
        self.count = state["count"]

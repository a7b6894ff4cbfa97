"""Scalars between two rows of a run's curves."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from pretrain.distributed import mean_over_processes


@dataclass
class RunningMean:
    """Means of logged scalars since the last row."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0

    def add(self, values: dict[str, Tensor]) -> None:
        self.count += 1
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def take(self) -> dict[str, float]:
        means = mean_over_processes({name: total / self.count for name, total in self.sums.items()})
        self.sums, self.count = {}, 0
        return means

"""Schedules of learning rate, weight decay and target momentum over the training. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal


def warmup_cosine(
    epoch: float, *, total_epochs: float, warmup_epochs: float, peak: float, floor: float = 0.0, start: float = 0.0
) -> float:
    """Return a rate: linear from ``start`` to ``peak`` over the warm-up, then half a cosine down to ``floor``.

    The cosine ends at ``total_epochs``. ``epoch`` is fractional: at step i of epoch e it is e + i / steps_per_epoch.
    Source: MoCo-v3's official pretraining loop, which sets the rate at every step.
    """
    if epoch < warmup_epochs:
        return start + (peak - start) * epoch / warmup_epochs
    progress = (epoch - warmup_epochs) / max(total_epochs - warmup_epochs, 1e-12)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def warmup_steps(
    epoch: float,
    *,
    warmup_epochs: float,
    peak: float,
    decay_epochs: Sequence[float],
    decay_factor: float,
    start: float = 0.0,
) -> float:
    """Return a rate: linear from ``start`` to ``peak``, then times ``decay_factor`` at each of ``decay_epochs``.

    Without ``decay_epochs`` the rate stays at ``peak``. Source: MoCo's official ``main_moco.py``.
    """
    if epoch < warmup_epochs:
        return start + (peak - start) * epoch / warmup_epochs
    return peak * decay_factor ** sum(epoch >= at for at in decay_epochs)


def cosine(progress: float, first: float, last: float) -> float:
    """Return half a cosine from ``first`` at progress 0 to ``last`` at progress 1."""
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * progress))


MomentumSchedule = Literal["cosine", "linear", "constant"]


def target_momentum(progress: float, base: float, schedule: MomentumSchedule = "cosine") -> float:
    """Return a target's momentum: ``base`` at progress 0, rising to 1 at progress 1 unless the schedule is constant."""
    if schedule == "constant":
        return base
    return cosine(progress, base, 1.0) if schedule == "cosine" else base + (1 - base) * progress

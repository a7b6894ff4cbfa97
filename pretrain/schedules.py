"""Learning rate and target momentum as functions of training progress.

Source: MoCo-v3's official pretraining loop, which sets both at every iteration.
"""

from __future__ import annotations

import math


def warmup_cosine(epoch: float, *, total_epochs: float, warmup_epochs: float, peak: float, floor: float = 0.0) -> float:
    """Linear from 0 to ``peak`` over the warm-up, then half a cosine down to ``floor`` at ``total_epochs``.

    ``epoch`` is fractional: at iteration i of epoch e it is e + i / iterations_per_epoch.
    """
    if epoch < warmup_epochs:
        return peak * epoch / warmup_epochs
    progress = (epoch - warmup_epochs) / max(total_epochs - warmup_epochs, 1e-12)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def target_momentum(progress: float, base: float) -> float:
    """Half a cosine from ``base`` at progress 0 up to 1 at progress 1."""
    return 1 - (1 - base) * 0.5 * (1 + math.cos(math.pi * progress))

"""What a pretraining says on its way and at its end."""

from __future__ import annotations

from dataclasses import dataclass

from pretrain.checkpoint import CheckpointHeader


class NonFiniteLossError(RuntimeError):
    """Training met NaN or infinity; the last training state on disk is from before."""


@dataclass(frozen=True)
class PretrainOutcome:
    """What a run leaves: means over the last stretch of training, speed, and checkpoints by role.

    ``micro_batch_size`` is how many images of a process were in the backbone at a time; None where nothing was trained.
    """

    metrics: dict[str, float]
    images_per_second: float | None
    checkpoints: dict[str, CheckpointHeader]
    world_size: int
    micro_batch_size: int | None = None

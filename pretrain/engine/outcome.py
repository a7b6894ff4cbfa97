"""Types in which a pretraining reports progress, its outcome, and a loss that is not finite."""

from __future__ import annotations

from dataclasses import dataclass

from pretrain.checkpoint import CheckpointHeader


class NonFiniteLossError(RuntimeError):
    """The loss or the weights became NaN or infinite. The last training state on disk is older than that."""


@dataclass(frozen=True)
class PretrainOutcome:
    """The outcome of a run.

    Parameters
    ----------
    metrics
        Means since the last row of the curves, and the validation accuracy of a method with a classifier.
    images_per_second
        Over all processes; None if this attempt trained nothing.
    checkpoints
        Headers by role; empty on all processes but the first.
    micro_batch_size
        Images in the backbone at a time, per process; None if the run has no training steps.
    """

    metrics: dict[str, float]
    images_per_second: float | None
    checkpoints: dict[str, CheckpointHeader]
    world_size: int
    micro_batch_size: int | None = None

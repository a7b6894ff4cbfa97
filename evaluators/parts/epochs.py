"""Runs epochs of training and validation; resumes after the last finished epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from evaluators.interface import Context
from evaluators.parts.data import TrainingBatch
from pretrain.datasets import LabelledImages
from pretrain.distributed import agreed, get_rank
from pretrain.engine import NonFiniteLossError
from pretrain.engine.state import load_training_state, save_training_state
from pretrain.errors import StoppedEarly


class Stateful(Protocol):
    """A module, an optimiser or a gradient scaler."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any) -> Any: ...


def run_epochs(
    *,
    epochs: int,
    state: Mapping[str, Stateful],
    train_epoch: Callable[[int], float],
    judge: Callable[[], dict[str, float]],
    learning_rate: Callable[[], float],
    context: Context,
) -> dict[str, float]:
    """Train and validate for ``epochs`` epochs; save the state after each.

    Parameters
    ----------
    state
        All objects that change from epoch to epoch, by name.
    train_epoch
        Trains one epoch, counted from 0, and returns the mean training loss.
    judge
        Returns the current model's ``top1`` and perhaps ``top5`` in percent.
    learning_rate
        Returns the current learning rate, for the curves.

    Returns
    -------
    The last epoch's metrics and ``train_loss``, and ``best_top1``, the best of all epochs.

    Raises
    ------
    StoppedEarly
        ``context.should_stop`` returned True after an epoch other than the last. (Within epochs: ``stop_within``.)
    """
    directory = context.work_directory / "checkpoints"
    saved = load_training_state(directory)
    first, metrics = 0, dict[str, float]()
    if saved is not None:
        first, metrics = saved["epochs_done"], saved["metrics"]
        for name, part in state.items():
            part.load_state_dict(saved[name])
    for epoch in range(first, epochs):
        try:
            train_loss = train_epoch(epoch)
        except StoppedEarly as stopped:
            stopped.progressed = epoch > first
            raise
        judged = judge()
        best = max(judged["top1"], metrics.get("best_top1", 0.0))
        metrics = {**judged, "best_top1": best, "train_loss": train_loss}
        if get_rank() == 0:
            row = {"train_loss": train_loss, "top1": judged["top1"], "learning_rate": learning_rate()}
            context.report(epoch=epoch + 1, total_epochs=epochs, values=row)
            parts = {name: part.state_dict() for name, part in state.items()}
            save_training_state(directory, {"epochs_done": epoch + 1, "metrics": metrics, **parts})
        if epoch + 1 < epochs and agreed(context.should_stop(), torch.device(context.device)):
            raise StoppedEarly(f"stopped after epoch {epoch + 1} of {epochs}; the training state is saved")
    return metrics


def stop_within(epoch: int, context: Context) -> None:
    """Stop after a training step if asked; the next attempt repeats the epoch from the last saved state.

    Raises
    ------
    StoppedEarly
        ``context.should_stop`` returned True in the first process.
    """
    if agreed(context.should_stop(), torch.device(context.device)):
        raise StoppedEarly(f"stopped during epoch {epoch + 1}; the next attempt repeats that epoch")


def require_finite(loss: Tensor, batch: TrainingBatch, epoch: int, images: LabelledImages) -> None:
    """Check that the loss is finite.

    Raises
    ------
    NonFiniteLossError
        The loss is NaN or infinite; the message names epoch, step and images.
    """
    if not loss.isfinite():
        names = ", ".join(images.describe(int(index)) for index in batch.indices[:4])
        raise NonFiniteLossError(
            f"loss is {loss.item()} at epoch {epoch}, step {batch.step} (images {names}, …) on rank {get_rank()}; "
            "the training state on disk is that of the end of the epoch before"
        )

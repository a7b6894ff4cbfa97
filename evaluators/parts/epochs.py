"""Epochs of training and judging that continue where a killed evaluation stopped."""

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
    """Train and judge ``epochs`` times; the state on disk is replaced after each epoch.

    Parameters
    ----------
    state
        Everything that changes from epoch to epoch, by name.
    train_epoch
        Trains the epoch it is given, counted from 0, and returns the mean training loss.
    judge
        ``top1`` and perhaps ``top5`` of the model as it is, in percent.
    learning_rate
        The rate in force, for the curves.

    Returns
    -------
    The last epoch's metrics and ``train_loss``, and ``best_top1`` of any epoch.

    Raises
    ------
    StoppedEarly
        ``context.should_stop`` said so at the end of an epoch that is not the last; within one, ``stop_within`` asks.
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
    """Ask after a step of an epoch that is long; it starts again from the state of the end of the one before.

    Raises
    ------
    StoppedEarly
        ``context.should_stop`` said so to the first process.
    """
    if agreed(context.should_stop(), torch.device(context.device)):
        raise StoppedEarly(f"stopped during epoch {epoch + 1}; the next attempt repeats that epoch")


def require_finite(loss: Tensor, batch: TrainingBatch, epoch: int, images: LabelledImages) -> None:
    """
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

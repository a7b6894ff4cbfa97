"""Stops a training whose loss or weights are NaN or infinite, before they reach a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pretrain.datasets import LabelledImages
from pretrain.engine.loader import RawBatch
from pretrain.engine.outcome import NonFiniteLossError
from pretrain.engine.state import load_training_state


def require_finite_loss(
    loss: Tensor, raw: RawBatch, images: LabelledImages, steps_per_epoch: int, rank: int, checkpoints: Path
) -> None:
    """Raise if the loss is NaN or infinite.

    Raises
    ------
    NonFiniteLossError
        The message names the step, the first images of the batch and the last saved state.
    """
    if torch.isfinite(loss):
        return
    epoch, batch = divmod(raw.step, steps_per_epoch)
    names = ", ".join(images.describe(int(index)) for index in raw.indices[:4])
    raise NonFiniteLossError(
        f"loss is {loss.item()} at step {raw.step} (epoch {epoch}, batch {batch}, images {names}, …) on rank {rank}; "
        f"{_describe_last_state(checkpoints)}"
    )


def require_finite_weights(weights: Mapping[str, Tensor], step: int, checkpoints: Path) -> None:
    """Raise if a method's state after ``step`` steps has NaN or infinity.

    Raises
    ------
    NonFiniteLossError
        The message names the first such tensor and the last saved state.
    """
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            state = _describe_last_state(checkpoints)
            raise NonFiniteLossError(f"weights {name} are not finite after step {step}; {state}")


def _describe_last_state(checkpoints: Path) -> str:
    state = load_training_state(checkpoints)
    return f"the last good training state is step {state['step']}" if state else "no training state was saved yet"

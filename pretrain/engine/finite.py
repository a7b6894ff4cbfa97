"""NaN and infinity end a training before they reach a checkpoint."""

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
    """Name the step and the first of its images where the loss is no finite number.

    Raises
    ------
    NonFiniteLossError
        It is not.
    """
    if torch.isfinite(loss):
        return
    epoch, batch = divmod(raw.step, steps_per_epoch)
    names = ", ".join(images.describe(int(index)) for index in raw.indices[:4])
    raise NonFiniteLossError(
        f"loss is {loss.item()} at step {raw.step} (epoch {epoch}, batch {batch}, images {names}, …) on rank {rank}; "
        f"{_last_state(checkpoints)}"
    )


def require_finite_weights(weights: Mapping[str, Tensor], step: int, checkpoints: Path) -> None:
    """The same of a method's whole state, after ``step`` steps.

    Raises
    ------
    NonFiniteLossError
        The message names the first tensor that is not finite.
    """
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise NonFiniteLossError(f"weights {name} are not finite after step {step}; {_last_state(checkpoints)}")


def _last_state(checkpoints: Path) -> str:
    state = load_training_state(checkpoints)
    return f"the last good training state is step {state['step']}" if state else "no training state was saved yet"

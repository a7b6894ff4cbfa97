"""The training state a killed run continues from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from pretrain.checkpoint import TRAINING_STATE_FILE
from pretrain.errors import InputError


def save_training_state(directory: Path, state: dict[str, Any]) -> None:
    """Replace the state on disk in one step: a kill leaves the old one or the new one."""
    directory.mkdir(parents=True, exist_ok=True)
    final = directory / TRAINING_STATE_FILE
    temporary = final.with_name(f".{final.name}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_training_state(directory: Path) -> dict[str, Any] | None:
    """The state to continue from, on the CPU; None for a fresh start.

    Raises
    ------
    InputError
        The file can't be read as tensors and plain values.
    """
    path = directory / TRAINING_STATE_FILE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path}: unreadable training state; delete it to start this run afresh") from error
    return state


def discard_training_state(run_directory: Path) -> None:
    """Free the space once the run's record is written."""
    (run_directory / "checkpoints" / TRAINING_STATE_FILE).unlink(missing_ok=True)

"""The training state a killed run continues from."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from pretrain.archives import archive_fault
from pretrain.checkpoint import TRAINING_STATE_FILE
from pretrain.errors import InputError

_PREVIOUS = f"previous_{TRAINING_STATE_FILE}"


def save_training_state(directory: Path, state: dict[str, Any]) -> None:
    """Put the state on disk; the one before stays beside it, for a file that a failing disk damages."""
    directory.mkdir(parents=True, exist_ok=True)
    final = directory / TRAINING_STATE_FILE
    temporary = final.with_name(f".{final.name}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        if final.exists():
            final.replace(directory / _PREVIOUS)
        temporary.replace(final)
    except RuntimeError as error:
        # torch's writer speaks of positions in the file, and means a disk that takes no more.
        raise OSError(f"{final}: can't be written; is the disk full? ({str(error).splitlines()[0]})") from error
    finally:
        temporary.unlink(missing_ok=True)


def load_training_state(directory: Path) -> dict[str, Any] | None:
    """The state to continue from, on the CPU; None for a fresh start.

    Raises
    ------
    InputError
        There is a state, and neither the last one nor the one before can be read as tensors and plain values.
    """
    found = [path for name in (TRAINING_STATE_FILE, _PREVIOUS) if (path := directory / name).exists()]
    for path in found:
        fault = archive_fault(path)
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises whatever it runs into
            fault = fault or type(error).__name__
        if fault is None:
            return state
        print(f"{path}: unreadable training state ({fault})", file=sys.stderr, flush=True)
    if found:
        raise InputError(f"{found[0]}: unreadable training state; delete it to start this run afresh")
    return None


def discard_training_state(run_directory: Path) -> None:
    """Free the space once the run's record is written."""
    for name in (TRAINING_STATE_FILE, _PREVIOUS):
        (run_directory / "checkpoints" / name).unlink(missing_ok=True)

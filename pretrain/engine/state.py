"""Saves and loads the training state from which a killed run continues."""

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
    """Write the state atomically. The previous one stays beside it, in case the disk damages the last."""
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
        # torch's writer reports a full disk as a RuntimeError about positions in the file.
        raise OSError(f"{final}: can't be written; is the disk full? ({str(error).splitlines()[0]})") from error
    except OSError as error:
        # Errors of write, flush and fsync don't name their file.
        raise OSError(error.errno, error.strerror, str(final)) from error
    finally:
        temporary.unlink(missing_ok=True)


def load_training_state(directory: Path) -> dict[str, Any] | None:
    """Return the state to continue from, on the CPU; None for a fresh start.

    Raises
    ------
    InputError
        A state exists, but neither the last nor the previous one can be read as tensors and plain values.
    """
    found = [path for name in (TRAINING_STATE_FILE, _PREVIOUS) if (path := directory / name).exists()]
    for path in found:
        fault = archive_fault(path)
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # on a damaged file, torch raises many types of errors
            fault = fault or type(error).__name__
        if fault is None:
            return state
        print(f"{path}: unreadable training state ({fault})", file=sys.stderr, flush=True)
    if found:
        raise InputError(f"{found[0]}: unreadable training state; delete it to start this run afresh")
    return None


def discard_training_state(run_directory: Path) -> None:
    """Delete a run's training state; call this once its record is written."""
    for name in (TRAINING_STATE_FILE, _PREVIOUS):
        (run_directory / "checkpoints" / name).unlink(missing_ok=True)

"""The library's checkpoints of a run, and the ones saved between them when a run is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_LATEST_FILE = "last_checkpoint"
"""The library's file that holds the path of its last checkpoint."""
_STOP_PREFIX = "stopped_"


def latest_checkpoint(directory: Path) -> Path | None:
    """Return the last complete checkpoint, even if the run directory has been moved.

    The library writes a checkpoint's path into ``last_checkpoint`` after the checkpoint.
    """
    try:
        name = Path((directory / _LATEST_FILE).read_text(encoding="utf-8")).name
    except FileNotFoundError:
        return None
    path = directory / name
    return path if name and path.is_file() else None


def save_stopped(runner: Any, directory: Path) -> None:
    """Save a checkpoint after an iteration, as the library does; every process calls this, the first one writes."""
    path = directory / f"{_STOP_PREFIX}{runner.iter + 1}.pth"
    runner.save_checkpoint(str(directory), path.name, by_epoch=False)
    if runner.rank == 0:
        note = directory / f".{_LATEST_FILE}.tmp"
        note.write_text(str(path), encoding="utf-8")
        note.replace(directory / _LATEST_FILE)
        remove_stopped(directory)


def remove_stopped(directory: Path) -> None:
    """Remove the checkpoints saved by stops, unless one is the latest checkpoint."""
    latest = latest_checkpoint(directory)
    for path in directory.glob(f"{_STOP_PREFIX}*.pth"):
        if path != latest:
            path.unlink()

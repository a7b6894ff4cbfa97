"""The library's checkpoints of a run, and those that a stop leaves between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_NOTE = "last_checkpoint"
"""The library's file with the path of its last checkpoint."""
_STOPPED = "stopped_"


def latest_checkpoint(directory: Path) -> Path | None:
    """The last checkpoint that was written whole, wherever the run directory has been moved to since.

    The library notes a checkpoint's name in ``last_checkpoint`` once it is written.
    """
    try:
        name = Path((directory / _NOTE).read_text(encoding="utf-8")).name
    except FileNotFoundError:
        return None
    path = directory / name
    return path if name and path.is_file() else None


def save_stopped(runner: Any, directory: Path) -> None:
    """Save after an iteration as the library does at its intervals; every process calls this, the first one writes."""
    path = directory / f"{_STOPPED}{runner.iter + 1}.pth"
    runner.save_checkpoint(str(directory), path.name, by_epoch=False)
    if runner.rank == 0:
        note = directory / f".{_NOTE}.tmp"
        note.write_text(str(path), encoding="utf-8")
        note.replace(directory / _NOTE)
        remove_stopped(directory)


def remove_stopped(directory: Path) -> None:
    """Remove what stops have left, but for a checkpoint that is the last one."""
    latest = latest_checkpoint(directory)
    for path in directory.glob(f"{_STOPPED}*.pth"):
        if path != latest:
            path.unlink()

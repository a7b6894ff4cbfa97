"""Remembers which sweeps asked for each run, so that cancelling one sweep spares runs another needs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from bench.sweep.model import Sweep
from results.runs import write_atomically

SWEEPS = ".sweeps"
"""Folder in the runs directory with one note per sweep and its options as typed: the run ids of its last start."""


def remember_sweep(sweep: Sweep, run_ids: Iterable[str], runs_directory: Path) -> None:
    """Note that a sweep needs these runs, so that cancelling another sweep leaves them alone."""
    path = _note_path(sweep, runs_directory)
    path.parent.mkdir(parents=True, exist_ok=True)
    note = {"sweep": sweep.name, "file": sweep.path, "run_ids": sorted(run_ids)}
    write_atomically(path, json.dumps(note) + "\n")


def forget_sweep(sweep: Sweep, runs_directory: Path) -> None:
    """Delete the note of the runs that a sweep needs."""
    _note_path(sweep, runs_directory).unlink(missing_ok=True)


def sweeps_by_run(runs_directory: Path, but: Sweep | None = None) -> dict[str, set[str]]:
    """Run id → names of the sweeps that need the run; the sweep ``but`` is left out."""
    wanted: dict[str, set[str]] = {}
    for path in sorted((runs_directory / SWEEPS).glob("*.json")):
        if but is not None and path == _note_path(but, runs_directory):
            continue
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            name, run_ids = str(note["sweep"]), [str(run_id) for run_id in note["run_ids"]]
            is_gone = note["file"] is not None and not Path(note["file"]).exists()
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            continue
        if is_gone:  # the sweep file was renamed or deleted, so the sweep can't be cancelled
            continue
        for run_id in run_ids:
            wanted.setdefault(run_id, set()).add(name)
    return wanted


def _note_path(sweep: Sweep, runs_directory: Path) -> Path:
    return runs_directory / SWEEPS / f"{sweep.asked_as}.json"

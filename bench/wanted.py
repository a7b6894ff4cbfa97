"""Which sweeps want a run: who cancels one leaves alone what another asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from results.runs import write_atomically

SWEEPS = ".sweeps"
"""Below the runs directory: the run ids that each sweep asked for when it was last started."""


def remember_sweep(name: str, run_ids: Iterable[str], runs_directory: Path) -> None:
    """Note that a sweep wants these runs, so that cancelling another sweep leaves them alone."""
    folder = runs_directory / SWEEPS
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{name}.json", json.dumps(sorted(run_ids)) + "\n")


def forget_sweep(name: str, runs_directory: Path) -> None:
    """The sweep wants nothing any more."""
    (runs_directory / SWEEPS / f"{name}.json").unlink(missing_ok=True)


def sweeps_by_run(runs_directory: Path) -> dict[str, set[str]]:
    """The sweeps that asked for each run."""
    wanted: dict[str, set[str]] = {}
    for path in sorted((runs_directory / SWEEPS).glob("*.json")):
        try:
            run_ids = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        for run_id in run_ids:
            wanted.setdefault(str(run_id), set()).add(path.stem)
    return wanted

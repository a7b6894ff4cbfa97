"""Where the runs of a plan stand, and every run under a directory, with what executors say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.plan.graph import PlannedRun
from bench.runs.scheduled import FOLDER
from bench.sweep.errors import InputError
from results.runs import RunDirectory, RunState
from results.state import standing
from results.store import Store, load_runs, look_at
from slurm import Charge, Told
from slurm.scheduler.told import read_states


@dataclass(frozen=True)
class RunStatus:
    """Where one run stands.

    ``own_state`` leaves parents out, ``state`` is what a reader should be told; see ``results.state.Standing``.
    ``charge`` is what the scheduler charged for all of the run's jobs, if it says so.
    """

    run: PlannedRun
    own_state: RunState
    state: RunState
    reason: str | None = None
    charge: Charge | None = None

    def as_json(self) -> dict[str, Any]:
        """The stable form of ``plan --format json`` and ``status --format json``."""
        return {
            "run_id": self.run.run_id,
            "stage": self.run.stage,
            "state": self.state.value,
            "parents": list(self.run.parents),
            "title": self.run.title,
            "reason": self.reason,
        }


def ask_executors(runs_directory: Path, *, fresh: bool = False) -> dict[str, Told]:
    """What executors that outlive a command say of runs, by run id; ask before reading the disk.

    A run that ends between the two has then left its record, and is not taken for lost.

    Parameters
    ----------
    fresh
        Ask now, however recent the last answer is.
    """
    return read_states(runs_directory / FOLDER, fresh=fresh)


def statuses(runs: Sequence[PlannedRun], directory: Path) -> list[RunStatus]:
    """The status of each run, given in topological order.

    Raises
    ------
    InputError
        Something that is not a directory stands where runs should be.
    """
    for place in (directory, *directory.parents):
        if place.exists():
            if not place.is_dir():
                raise InputError(f"{directory}: can't hold runs, {place} is a file; choose another with --runs DIR")
            break
    told = ask_executors(directory)
    on_disk = {run.run_id: look_at(RunDirectory(directory / run.run_id), run.parents) for run in runs}
    found = standing(on_disk, told)
    charges = {run_id: each.charge for run_id, each in told.items()}
    return [
        RunStatus(run, each.own_state, each.state, each.reason, charges.get(run.run_id))
        for run in runs
        for each in [found[run.run_id]]
    ]


def load_with_executors(runs_directory: Path, run_ids: Iterable[str] | None = None) -> Store:
    """Runs as ``results.store.load_runs`` finds them, with what executors say of them."""
    return load_runs(runs_directory, run_ids, ask_executors(runs_directory))


def runs_on_disk(directory: Path) -> tuple[tuple[PlannedRun, ...], tuple[str, ...]]:
    """Every run under ``directory``, those without parents first, and what could not be read.

    Raises
    ------
    InputError
        No such directory.
    """
    store = load_runs(directory)
    runs = [PlannedRun(run.run_id, run.stage, run.parents, run.config) for run in store.runs]
    return tuple(sorted(runs, key=lambda run: bool(run.parents))), store.problems

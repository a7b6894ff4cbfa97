"""Computes the states of planned runs and of all runs on disk, with the executors' answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.plan.graph import PlannedRun
from bench.runs.executors import ask_executors
from bench.sweep.errors import InputError
from results.record import has_other_schema
from results.runs import RunDirectory, RunState
from results.state import Standing
from results.store import Store, describe_damage, load_runs, planned_standings
from slurm.job import Charge, JobReport


@dataclass(frozen=True)
class RunStatus:
    """The state of one planned run.

    ``own_state`` doesn't depend on parents, ``state`` is the effective state; see ``results.state.Standing``.
    ``report`` is the executor's answer about the run's job, if there is one. ``has_other_schema`` says that another
    release of opera-bench wrote the record of a damaged run; ``retry`` leaves such a run alone.
    """

    run: PlannedRun
    own_state: RunState
    state: RunState
    reason: str | None = None
    report: JobReport | None = None
    has_other_schema: bool = False

    @property
    def charge(self) -> Charge | None:
        """What the scheduler charged for all jobs of the run, if known."""
        return None if self.report is None else self.report.charge

    @property
    def held_job(self) -> str | None:
        """The id of the run's job if the scheduler holds the job until it is released."""
        if self.report is None or not self.report.is_held or self.own_state is not RunState.WAITING:
            return None
        return self.report.number

    def as_json(self) -> dict[str, Any]:
        """Return the fields about states in ``plan --format json`` and ``status --format json``, which don't change."""
        return {
            "run_id": self.run.run_id,
            "stage": self.run.stage,
            "state": self.state.value,
            "parents": list(self.run.parents),
            "title": self.run.title,
            "reason": self.reason,
        }


def statuses(runs: Sequence[PlannedRun], directory: Path) -> list[RunStatus]:
    """Return the status of each run, in the order of ``runs``.

    Raises
    ------
    InputError
        ``directory`` or one of its parents is a file.
    """
    for path in (directory, *directory.parents):
        if path.exists():
            if not path.is_dir():
                raise InputError(f"{directory}: can't hold runs, {path} is a file; choose another with --runs DIR")
            break
    reports = ask_executors(directory)
    found = planned_standings(directory, {run.run_id: run.parents for run in runs}, reports)
    return [_status(run, directory, found[run.run_id], reports.get(run.run_id)) for run in runs]


def _status(run: PlannedRun, directory: Path, standing: Standing, report: JobReport | None) -> RunStatus:
    is_damaged = standing.own_state is RunState.DAMAGED
    other = is_damaged and has_other_schema(RunDirectory(directory / run.run_id).record)
    return RunStatus(run, standing.own_state, standing.state, standing.reason, report, other)


def load_with_executors(runs_directory: Path, run_ids: Iterable[str] | None = None) -> Store:
    """Load runs with ``results.store.load_runs`` and the executors' answers about their jobs."""
    return load_runs(runs_directory, run_ids, ask_executors(runs_directory))


def runs_on_disk(directory: Path) -> tuple[tuple[PlannedRun, ...], tuple[str, ...]]:
    """Return all runs under ``directory``, parents first, and one sentence for each skipped directory.

    Raises
    ------
    InputError
        ``directory`` does not exist.
    """
    store = load_runs(directory)
    runs = [PlannedRun(run.run_id, run.stage, run.parents, run.config) for run in store.runs]
    damaged = describe_damage(store.runs)
    skipped = tuple(problem for problem in store.problems if problem not in damaged)
    return tuple(sorted(runs, key=lambda run: bool(run.parents))), skipped

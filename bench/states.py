"""Where planned runs stand: what the disk says, and what follows from their parents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.plan import PlannedRun
from bench.scheduled import knows_better, scheduler_views, state_from, submitted_runs, was_dropped
from results.runs import RunDirectory, RunState
from results.store import load_runs
from slurm.scheduler.commands import View


@dataclass(frozen=True)
class RunStatus:
    """``own_state`` is what the run's directory tells, ``state`` what a reader should be told."""

    run: PlannedRun
    own_state: RunState
    state: RunState
    reason: str | None = None

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
    # Asked before the disk is read: what ended in between has then left its record.
    views = scheduler_views(directory)
    submitted = submitted_runs(directory)
    known: dict[str, RunStatus] = {}
    for run in runs:
        on_disk = RunDirectory(directory / run.run_id)
        own_state, reason = own_standing(on_disk, views.get(run.run_id))
        parents = [known[parent] for parent in run.parents if parent in known]
        # The scheduler drops what waits for a job that failed; nobody wanted this run itself to end.
        dropped = _lost(parents) or was_dropped(run.run_id, run.parents, submitted, views)
        if own_state is RunState.CANCELLED and dropped and not on_disk.cancelled.exists():
            own_state = RunState.PLANNED
        state = own_state
        if own_state is RunState.PLANNED:
            state, reason = _from_parents(parents)
        known[run.run_id] = RunStatus(run, own_state, state, reason)
    return list(known.values())


def own_standing(run: RunDirectory, view: View | None) -> tuple[RunState, str | None]:
    """A run's state, parents not asked: the disk's, and where that can't tell, the scheduler's."""
    state = run.state()
    if view is not None and knows_better(view, run, state):
        return state_from(view)
    return state, _reason(run, state)


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


def _lost(parents: Sequence[RunStatus]) -> RunStatus | None:
    """The first parent that will not be done by itself."""
    return next((p for p in parents if p.state in (RunState.FAILED, RunState.CANCELLED)), None)


def _from_parents(parents: Sequence[RunStatus]) -> tuple[RunState, str | None]:
    if lost := _lost(parents):
        return RunState.FAILED, f"parent {lost.run.run_id} {lost.state.value}"
    unfinished = any(parent.state is not RunState.DONE for parent in parents)
    return (RunState.WAITING if unfinished else RunState.PLANNED), None


def _reason(run: RunDirectory, state: RunState) -> str | None:
    if state is RunState.FAILED:
        lines = str(run.read_failure().get("error", "")).splitlines()
        return lines[0] if lines else "no reason recorded"
    if state is RunState.UNKNOWN:
        return "started on another host, and its heartbeat has stopped"
    return None

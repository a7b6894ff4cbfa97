"""Stopping runs: which ones, wherever they are, and a note that it was wanted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.launch.run_sweep import confirmed, say
from bench.plan.graph import PlannedRun, plan_sweep
from bench.runs.find import find_run
from bench.runs.scheduled import FOLDER, submissions_held_up
from bench.runs.states import runs_on_disk, statuses
from bench.runs.wanted import forget_sweep, sweeps_by_run
from bench.sweep.errors import InputError
from bench.sweep.load import load_sweep
from bench.sweep.model import Sweep
from bench.sweep.read import shipped_sweeps
from results.runs import RunDirectory, RunState, write_atomically
from results.store import look_at
from slurm.errors import InputError as SchedulerError
from slurm.scheduler.commands import Standing, View, cancel_jobs
from slurm.scheduler.told import read_views

_UNFINISHED = {RunState.RUNNING, RunState.WAITING}
_MAY_BE_HELD = {RunState.CANCELLED, RunState.DAMAGED}
"""States of a run whose job may be queued all the same: a command that was cut off noted only that it should stop, or
the run's files were damaged since its submission."""


@dataclass(frozen=True)
class Cancellation:
    """``stop`` has runs that are under way or queued, ``shared`` those that another sweep wants too.

    ``sweep`` is the one that is cancelled. None is for a single run: that is stopped whoever wants it, and
    ``wanted_by`` names those sweeps, ``dropped`` what waits for it.
    """

    stop: tuple[PlannedRun, ...]
    shared: tuple[PlannedRun, ...]
    sweep: Sweep | None
    wanted_by: tuple[str, ...] = ()
    dropped: tuple[PlannedRun, ...] = ()


def choose(what: str, runs_directory: Path, overrides: tuple[str, ...], *, tiny: bool = False) -> Cancellation:
    """The unfinished runs that a sweep's name, a sweep file or a run id stands for, once nobody submits any more.

    Raises
    ------
    InputError
        Neither a sweep nor a run, or the scheduler, which may hold some of the runs, does not answer.
    """
    is_sweep = what in shipped_sweeps() or what.endswith((".yaml", ".yml")) or Path(what).is_file()
    if is_sweep:
        sweep = load_sweep(what, overrides, tiny=tiny)
        with submissions_held_up(runs_directory):
            return _choose_sweep(sweep, runs_directory)
    run_id = find_run(runs_directory, what).run_id
    with submissions_held_up(runs_directory):
        return _choose_run(run_id, runs_directory)


def _choose_sweep(sweep: Sweep, runs_directory: Path) -> Cancellation:
    others = sweeps_by_run(runs_directory, but=sweep)
    unfinished = _unfinished(plan_sweep(sweep).runs, runs_directory)
    return Cancellation(
        tuple(run for run in unfinished if run.run_id not in others),
        tuple(run for run in unfinished if run.run_id in others),
        sweep,
    )


def _choose_run(run_id: str, runs_directory: Path) -> Cancellation:
    everything = runs_on_disk(runs_directory)[0]
    stop = _unfinished([run for run in everything if run.run_id == run_id], runs_directory)
    waiting = _unfinished([run for run in everything if run_id in run.parents], runs_directory) if stop else []
    wanted_by = tuple(sorted(sweeps_by_run(runs_directory).get(run_id, ())))
    return Cancellation(tuple(stop), (), None, wanted_by, tuple(waiting))


def _unfinished(runs: Sequence[PlannedRun], runs_directory: Path) -> list[PlannedRun]:
    """Those that run or wait, or whose job SLURM holds though their directories say otherwise."""
    views = _views_of(runs, runs_directory)
    return [
        status.run
        for status in statuses(runs, runs_directory)
        if status.own_state in _UNFINISHED
        or (status.own_state in _MAY_BE_HELD and _is_held(views.get(status.run.run_id)))
    ]


def _views_of(runs: Sequence[PlannedRun], runs_directory: Path) -> dict[str, View]:
    views = read_views(runs_directory / FOLDER, fresh=True)
    if any(run.run_id in views and views[run.run_id].standing is Standing.SILENT for run in runs):
        raise InputError(
            "SLURM does not answer, and may hold some of these runs; nothing is cancelled, try again later"
        )
    return views


def cancel_runs(chosen: Cancellation, runs_directory: Path, *, ask: bool) -> int:
    """Name what will stop, ask, stop it; the exit status.

    Raises
    ------
    InputError
        A run that computes on another host, outside SLURM, or within a command that must be interrupted itself; nobody
        to ask; ``scancel`` failed.
    """
    for run in chosen.shared:
        say(f"left alone, another sweep wants it: {run.run_id}")
    if not chosen.stop:
        say("nothing else is running or queued" if chosen.shared else "nothing is running or queued")
        _withdraw(chosen, runs_directory)
        return 0
    for run in chosen.stop:
        also = f", which {' and '.join(chosen.wanted_by)} asked for" if chosen.wanted_by else ""
        say(f"will stop: {run.run_id}{also}")
    for run in chosen.dropped:
        say(f"will not start, since it waits for that: {run.run_id}")
    if ask and not sys.stdin.isatty():
        raise InputError("cancel asks first, and there is no terminal to ask on; say --yes")
    if ask and not confirmed(f"Cancel {len(chosen.stop)} runs?", default=False):
        return 0
    with submissions_held_up(runs_directory):
        # Somebody may have asked for some of them meanwhile.
        others = {} if chosen.sweep is None else sweeps_by_run(runs_directory, but=chosen.sweep)
        stop = [run for run in chosen.stop if run.run_id not in others]
        _stop(stop, runs_directory)
    _withdraw(chosen, runs_directory)
    say(f"{len(stop)} runs cancelled")
    return 0


def _stop(runs: Sequence[PlannedRun], runs_directory: Path) -> None:
    """End runs, wherever they are, each with a note that it was wanted.

    Raises
    ------
    InputError
        As of ``cancel_runs``.
    """
    views = _views_of(runs, runs_directory)
    held = {run.run_id: views[run.run_id] for run in runs if _is_held(views.get(run.run_id))}
    others = [RunDirectory(runs_directory / run.run_id) for run in runs if run.run_id not in held]
    here = [run for run in others if run.unrecorded_state() is RunState.RUNNING]
    if said := [problem for run in here if (problem := _out_of_reach(run))]:
        raise InputError("; ".join(said))
    # The note comes first: a status between the two finds a run that is wanted to end.
    sound = [
        run for run in runs if look_at(RunDirectory(runs_directory / run.run_id), ()).state is not RunState.DAMAGED
    ]
    for run in sound:
        note = {"at": datetime.now(UTC).isoformat(), "reason": "opera-bench cancel"}
        write_atomically(RunDirectory(runs_directory / run.run_id).cancelled, json.dumps(note) + "\n")
    try:
        cancel_jobs(list(held.values()))
    except SchedulerError:
        for run_id in held:
            RunDirectory(runs_directory / run_id).cancelled.unlink(missing_ok=True)
        raise
    for run_here in here:
        _stop_here(run_here)


def _withdraw(chosen: Cancellation, runs_directory: Path) -> None:
    """Leave shared runs to the sweeps that still want them."""
    if chosen.sweep is not None:
        forget_sweep(chosen.sweep, runs_directory)


def _is_held(view: View | None) -> bool:
    return view is not None and view.standing.is_active


def _out_of_reach(run: RunDirectory) -> str | None:
    """What keeps this command from ending a run that computes outside SLURM, if anything."""
    pid, host = _process(run)
    if pid is None:
        return f"{run.attempts}: damaged, so that nobody can say which process computes {run.run_id}; stop it by hand"
    if host != socket.gethostname():
        return f"{run.run_id} runs on {host}, outside SLURM; stop process {pid} there"
    # A job of the local executor leads a process group of its own; one that computes inline does not.
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(pid) != pid:
            return f"{run.run_id} runs within process {pid}; interrupt that with Ctrl-C"
    return None


def _stop_here(run: RunDirectory) -> None:
    """End a run of the local executor."""
    with contextlib.suppress(ProcessLookupError):
        if pid := _process(run)[0]:
            os.killpg(pid, signal.SIGTERM)


def _process(run: RunDirectory) -> tuple[int | None, str]:
    """The process of the last attempt, None where that can't be read, and its host."""
    last = (run.read_attempts() or [{}])[-1]
    pid = last.get("pid")
    return (pid if type(pid) is int and pid > 1 else None), str(last.get("host"))

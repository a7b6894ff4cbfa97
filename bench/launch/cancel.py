"""Cancels runs: selects unfinished ones, notes the cancellation, and stops their jobs or processes."""

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
from typing import Any

from bench.launch.run_sweep import confirmed, say
from bench.plan.graph import PlannedRun, plan_sweep
from bench.runs.executors import ask_executors, submissions_held_up
from bench.runs.find import find_run
from bench.runs.states import runs_on_disk, statuses
from bench.runs.wanted import forget_sweep, sweeps_by_run
from bench.sweep.errors import InputError
from bench.sweep.load import load_sweep
from bench.sweep.model import Sweep
from bench.sweep.read import shipped_sweeps
from results.runs import RunDirectory, RunState, write_atomically
from results.store import read_on_disk
from slurm.job import InputError as SchedulerError
from slurm.job import JobReport, JobState
from slurm.lookup import open_executors

_UNFINISHED = {RunState.RUNNING, RunState.WAITING}
_MAY_BE_HELD = {RunState.CANCELLED, RunState.DAMAGED}
"""States of a run whose job an executor may still hold: an interrupted ``cancel`` wrote the note but didn't stop the
job, or the run's files were damaged after submission."""


@dataclass(frozen=True)
class Cancellation:
    """The runs of one ``cancel`` command.

    Parameters
    ----------
    stop
        Running or queued runs to cancel.
    shared
        Unfinished runs of the sweep that are left alone, because another sweep needs them too.
    sweep
        The cancelled sweep; None for a single run, which is cancelled even if sweeps need it.
    wanted_by
        For a single run, the names of the sweeps that need it.
    dropped
        For a single run, unfinished runs that wait for it and won't start.
    """

    stop: tuple[PlannedRun, ...]
    shared: tuple[PlannedRun, ...]
    sweep: Sweep | None
    wanted_by: tuple[str, ...] = ()
    dropped: tuple[PlannedRun, ...] = ()


def choose(what: str, runs_directory: Path, overrides: tuple[str, ...], *, tiny: bool = False) -> Cancellation:
    """Select the unfinished runs of a shipped sweep, a sweep file or a run id; waits until running submissions end.

    Raises
    ------
    InputError
        ``what`` is neither a sweep nor a run, or the scheduler may hold some of the runs and does not answer.
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
    """Return running and waiting runs, and cancelled or damaged ones whose job an executor still holds."""
    reports = _ask_about(runs, runs_directory)
    return [
        status.run
        for status in statuses(runs, runs_directory)
        if status.own_state in _UNFINISHED
        or (status.own_state in _MAY_BE_HELD and _is_held(reports.get(status.run.run_id)))
    ]


def _ask_about(runs: Sequence[PlannedRun], runs_directory: Path) -> dict[str, JobReport]:
    reports = ask_executors(runs_directory, fresh=True)
    for report in (reports[run.run_id] for run in runs if run.run_id in reports):
        if report.state is JobState.UNKNOWN and not report.is_forgotten:
            raise InputError(
                f"{report.executor} does not answer, and may hold some of these runs; "
                "nothing is cancelled, try again later"
            )
    return reports


def cancel_runs(chosen: Cancellation, runs_directory: Path, *, ask: bool) -> int:
    """Print the runs to cancel, ask, and cancel them; return the exit status.

    Raises
    ------
    InputError
        A run computes on another host and no scheduler holds it, or it computes inside a command that the user must
        interrupt; or there is no terminal to ask on; or the executor failed to cancel a job.
    """
    for run in chosen.shared:
        say(f"left alone, because another sweep needs it: {run.run_id}")
    if not chosen.stop:
        say("nothing else is running or queued" if chosen.shared else "nothing is running or queued")
        _forget_cancelled(chosen, runs_directory)
        return 0
    for run in chosen.stop:
        also = f", which {' and '.join(chosen.wanted_by)} asked for" if chosen.wanted_by else ""
        say(f"will stop: {run.run_id}{also}")
    for run in chosen.dropped:
        say(f"will not start without it: {run.run_id}")
    if ask and not sys.stdin.isatty():
        raise InputError("cancel asks first, and there is no terminal to ask on; add --yes")
    if ask and not confirmed(f"Cancel {len(chosen.stop)} runs?", default=False):
        return 0
    with submissions_held_up(runs_directory):
        # Another sweep may have asked for some of the runs while this command waited for the answer.
        others = {} if chosen.sweep is None else sweeps_by_run(runs_directory, but=chosen.sweep)
        stop = [run for run in chosen.stop if run.run_id not in others]
        _stop(stop, runs_directory)
    _forget_cancelled(chosen, runs_directory)
    say(f"{len(stop)} runs cancelled")
    return 0


def _stop(runs: Sequence[PlannedRun], runs_directory: Path) -> None:
    """Write a cancel note for each run and stop its job or process.

    Raises
    ------
    InputError
        A run can't be stopped from here, or the executor failed to cancel it.
    """
    reports = _ask_about(runs, runs_directory)
    held = {run.run_id for run in runs if _is_held(reports.get(run.run_id))}
    others = [RunDirectory(runs_directory / run.run_id) for run in runs if run.run_id not in held]
    here = [run for run in others if run.unrecorded_state() is RunState.RUNNING]
    if obstacles := [problem for run in here if (problem := _find_obstacle(run))]:
        raise InputError("; ".join(obstacles))
    # Write the note before stopping: a status in between must not show a failure.
    sound = [
        run for run in runs if read_on_disk(RunDirectory(runs_directory / run.run_id), ()).state is not RunState.DAMAGED
    ]
    for run in sound:
        note = {"at": datetime.now(UTC).isoformat(), "reason": "opera-bench cancel"}
        write_atomically(RunDirectory(runs_directory / run.run_id).cancelled, json.dumps(note) + "\n")
    try:
        for executor in open_executors(runs_directory) if held else ():
            executor.cancel(held)
    except SchedulerError:
        for run_id in held:
            RunDirectory(runs_directory / run_id).cancelled.unlink(missing_ok=True)
        raise
    for run_here in here:
        _terminate_local(run_here)


def _forget_cancelled(chosen: Cancellation, runs_directory: Path) -> None:
    """Remove the cancelled sweep's note, so that it no longer needs any run."""
    if chosen.sweep is not None:
        forget_sweep(chosen.sweep, runs_directory)


def _is_held(report: JobReport | None) -> bool:
    return report is not None and report.is_active


def _find_obstacle(run: RunDirectory) -> str | None:
    """Return why this command can't stop a run that no executor holds; None if it can."""
    pid, host = _process(run)
    if pid is None:
        return f"{run.attempts}: damaged, so the process that computes {run.run_id} is unknown; stop it by hand"
    if host != socket.gethostname():
        return f"{run.run_id} runs on {host}, and no scheduler holds it; stop process {pid} there"
    # An interactive shell, too, makes a command the leader of its process group, so the group alone proves nothing.
    with contextlib.suppress(ProcessLookupError):
        if not _last_attempt(run).get("leads_job_group") or os.getpgid(pid) != pid:
            return f"{run.run_id} runs within process {pid}, which may compute more; interrupt it there with Ctrl-C"
    return None


def _terminate_local(run: RunDirectory) -> None:
    """Terminate the process group of a run of the local executor."""
    with contextlib.suppress(ProcessLookupError):
        if pid := _process(run)[0]:
            os.killpg(pid, signal.SIGTERM)


def _process(run: RunDirectory) -> tuple[int | None, str]:
    """Return the process id of the last attempt, None if it can't be read, and the attempt's host."""
    last = _last_attempt(run)
    pid = last.get("pid")
    return (pid if type(pid) is int and pid > 1 else None), str(last.get("host"))


def _last_attempt(run: RunDirectory) -> dict[str, Any]:
    return (run.read_attempts() or [{}])[-1]

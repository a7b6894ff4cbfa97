"""Every run under one directory, with the state a reader should be told."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from results.errors import InputError
from results.files import is_present
from results.identity import stage_of_id
from results.record import Record, read_record
from results.runs import RunDirectory, RunState, modified_at
from results.state import OnDisk, Standing, Told, standing

NOTHING_TOLD: Mapping[str, Told] = MappingProxyType({})
"""For runs of which no executor knows anything."""


@dataclass(frozen=True)
class Run:
    """One run directory.

    Parameters
    ----------
    stage
        ``pretrain`` or the evaluator's name.
    state
        The effective state: a run that can't start because of a parent is failed, one whose parents are unfinished
        is waiting.
    config
        ``{pretrain: …}``, and for an evaluation ``{evaluator: …}`` beside it.
    reason
        Why the run failed, waits, is damaged or is unknown; one sentence.
    on_disk
        What ``state`` and ``reason`` were combined from.
    """

    run_id: str
    stage: str
    state: RunState
    config: dict[str, Any]
    parents: tuple[str, ...]
    record: Record | None
    reason: str | None
    directory: Path
    on_disk: OnDisk


@dataclass(frozen=True)
class Store:
    """Runs sorted by id; one sentence for each damaged run, and for each directory that only looks like a run's."""

    runs: tuple[Run, ...]
    problems: tuple[str, ...]


def run_names(runs_directory: Path) -> list[str]:
    """The names under ``runs_directory`` that may be runs, sorted.

    Hidden folders hold what the suite keeps beside the runs. A run's name is ASCII.

    Raises
    ------
    InputError
        ``runs_directory`` does not exist.
    """
    if not runs_directory.is_dir():
        raise InputError(f"{runs_directory}: no such directory; give the directory that holds the runs")
    with os.scandir(runs_directory) as listing:
        return sorted(entry.name for entry in listing if not entry.name.startswith(".") and entry.name.isascii())


def load_runs(
    runs_directory: Path, run_ids: Iterable[str] | None = None, told: Mapping[str, Told] = NOTHING_TOLD
) -> Store:
    """Read the runs under ``runs_directory``, all of them or those named.

    Ids without a directory are left out. A run whose record, configuration or directory can't be trusted or read is
    listed as damaged. Directories of other names than runs have are passed over; one that holds a record or a
    configuration is a problem.

    Parameters
    ----------
    told
        What executors say of the runs, asked before this reads the disk.

    Raises
    ------
    InputError
        ``runs_directory`` does not exist.
    """
    names = run_names(runs_directory)
    wanted = names if run_ids is None else sorted(set(run_ids))
    problems: list[str] = []
    resolved = resolve(_with_parents(runs_directory, wanted, problems), told)
    runs = tuple(resolved[run_id] for run_id in wanted if run_id in resolved)
    return Store(runs, (*problems, *damage(resolved.values())))


def damage(runs: Iterable[Run]) -> list[str]:
    """A sentence for each damaged run."""
    damaged = sorted((run for run in runs if run.state is RunState.DAMAGED), key=lambda run: run.run_id)
    return [f"{run.run_id} is damaged: {run.reason}" for run in damaged]


def _with_parents(runs_directory: Path, run_ids: Sequence[str], problems: list[str]) -> dict[str, Run]:
    """The named runs as their directories tell them, and all that they descend from."""
    found: dict[str, Run] = {}
    unread = list(reversed(run_ids))
    seen = set(unread)
    while unread:
        run = read_run(RunDirectory(runs_directory / unread.pop()), problems)
        if run is not None:
            found[run.run_id] = run
            unread += [parent for parent in run.parents if parent not in seen]
            seen.update(run.parents)
    return found


def planned_standings(
    runs_directory: Path, planned: Mapping[str, tuple[str, ...]], told: Mapping[str, Told] = NOTHING_TOLD
) -> dict[str, Standing]:
    """Where planned runs stand, given with their parents; a run without a directory has not run."""
    on_disk = {run_id: look_at(RunDirectory(runs_directory / run_id), parents) for run_id, parents in planned.items()}
    further = [parent for parents in planned.values() for parent in parents if parent not in planned]
    ancestors = _with_parents(runs_directory, further, [])
    return standing({**{run_id: run.on_disk for run_id, run in ancestors.items()}, **on_disk}, told)


def read_run(directory: RunDirectory, problems: list[str]) -> Run | None:
    """The run as its own directory tells it, parents not asked; None for a directory that holds no run.

    Parameters
    ----------
    problems
        Receives a sentence if the directory holds files of a run and has a name that no run has.
    """
    try:
        run = _read_run(directory)
    except OSError as error:
        remedy = "make it readable, or let opera-bench retry set it aside"
        run = _damaged(directory, f"{_unreadable(directory.path, error)}; {remedy}")
    if run is None or run.state is not RunState.DAMAGED or stage_of_id(directory.run_id) is not None:
        return run
    if has_files_of_a_run(directory):
        problems.append(f"skipped: {run.reason}")
    return None


def has_files_of_a_run(directory: RunDirectory) -> bool:
    """Whether a directory of any name holds a record or a configuration."""
    try:
        return is_present(directory.record) or is_present(directory.config)
    except OSError:
        return False


def _read_run(directory: RunDirectory) -> Run | None:
    """
    Raises
    ------
    OSError
        The directory can't be searched, or something that is no directory has a run's name.
    """
    problem = None
    if is_present(directory.record):
        record, problem = checked_record(directory.record)
        if record is not None:
            return _run(directory, record.stage, record.config, _recorded(record), record)
    if not is_present(directory.config):
        if problem is not None:
            return _damaged(directory, problem)
        return _without_configuration(directory)
    try:
        planned = directory.read_config()
    except (InputError, OSError) as error:
        reasons = [problem, str(error) if isinstance(error, InputError) else _unreadable(directory.config, error)]
        return _damaged(directory, "; ".join(reason for reason in reasons if reason))
    parents = tuple(planned["parents"])
    on_disk = unrecorded(directory, parents) if problem is None else OnDisk(parents, RunState.DAMAGED, problem)
    return _run(directory, planned["stage"], planned["config"], on_disk, None)


def _without_configuration(directory: RunDirectory) -> Run | None:
    """A run that has begun, as its attempts or its failure show, and whose ``config.yaml`` is missing."""
    stage = stage_of_id(directory.run_id)
    if stage is None or not is_present(directory.path):
        return None
    directory.path.stat()  # raises for a link to nowhere
    if not any(is_present(path) for path in (directory.attempts, directory.failure, directory.cancelled)):
        return None
    on_disk = unrecorded(directory, ())
    reason = on_disk.reason or f"{directory.config} is missing; opera-bench run writes it again"
    return _run(directory, stage, {}, replace(on_disk, reason=reason), None)


def _damaged(directory: RunDirectory, reason: str) -> Run:
    """A run of which nothing but its name can be trusted."""
    stage = stage_of_id(directory.run_id) or "unknown"
    return _run(directory, stage, {}, OnDisk((), RunState.DAMAGED, reason), None)


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path}: can't be read ({error.strerror or error})"


def _recorded(record: Record) -> OnDisk:
    """What a sound record says."""
    parents = tuple(parent.run_id for parent in record.parents)
    judged = {parent.run_id: (parent.checkpoint_sha256, parent.header_sha256) for parent in record.parents}
    backbones = (written for written in record.checkpoints if written.role == "backbone")
    wrote = next(((written.sha256, written.header_sha256 or "") for written in backbones), None)
    return OnDisk(parents, RunState.DONE, wrote=wrote, judged=judged)


def look_at(directory: RunDirectory, parents: tuple[str, ...]) -> OnDisk:
    """What a planned run's directory says of it; a directory that is missing says that it has not run."""
    run = read_run(directory, [])
    return OnDisk(parents, RunState.PLANNED) if run is None else replace(run.on_disk, parents=parents)


def unrecorded(directory: RunDirectory, parents: tuple[str, ...]) -> OnDisk:
    """What the directory of a run without a record says of it."""
    try:
        state, is_cancel_noted = directory.unrecorded_state(), directory.cancelled.exists()
    except OSError as error:
        return OnDisk(parents, RunState.DAMAGED, _unreadable(directory.path, error))
    last = (directory.read_attempts() or [{}])[-1]
    failure = directory.read_failure()
    number = last.get("scheduler_job_id")
    return OnDisk(
        parents,
        state,
        _reason(state, failure),
        is_interrupted=state is RunState.PLANNED and bool(failure),
        is_cancel_noted=is_cancel_noted,
        is_here=last.get("host") == socket.gethostname(),
        has_attempts=bool(last),
        number=number if isinstance(number, str) else None,
        began_at=modified_at(directory.attempts),
        failed_at=modified_at(directory.failure),
    )


def checked_record(path: Path) -> tuple[Record | None, str | None]:
    """A record, or why it can't be trusted; a file that has not changed is read once by each process."""
    try:
        found = path.stat()
        return _read_unchanged(path, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
    except OSError as error:
        return None, _unreadable(path, error)


@functools.cache
def _read_unchanged(path: Path, *_: int) -> tuple[Record | None, str | None]:
    try:
        return read_record(path), None
    except InputError as error:
        return None, str(error)


def _run(directory: RunDirectory, stage: str, config: dict[str, Any], on_disk: OnDisk, record: Record | None) -> Run:
    place, parents = directory.path, on_disk.parents
    return Run(directory.run_id, stage, on_disk.state, config, parents, record, on_disk.reason, place, on_disk)


def _reason(state: RunState, failure: Mapping[str, Any]) -> str | None:
    lines = str(failure.get("error", "")).strip().splitlines()
    if state is RunState.FAILED:
        return lines[0] if lines else "no reason recorded"
    if state is RunState.PLANNED and lines:
        return f"interrupted ({lines[0]}); the same command goes on"
    if state is RunState.UNKNOWN:
        return "started on another host, and its heartbeat has stopped"
    return None


def resolve(found: Mapping[str, Run], told: Mapping[str, Told] = NOTHING_TOLD) -> dict[str, Run]:
    """The runs with the state that follows from what executors say and from their parents.

    A damaged run has no record here: nothing may use its numbers.
    """
    standings = standing({run_id: run.on_disk for run_id, run in found.items()}, told)
    return {
        run_id: replace(
            run,
            state=standings[run_id].state,
            reason=standings[run_id].reason,
            record=None if standings[run_id].state is RunState.DAMAGED else run.record,
        )
        for run_id, run in found.items()
    }

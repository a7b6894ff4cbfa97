"""Every run under one directory, with the state a reader should be told."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from results.errors import InputError
from results.record import Record, read_record
from results.runs import RunDirectory, RunState, modified_at
from results.state import OnDisk, Told, standing

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
    """Runs sorted by id, and one sentence for each directory that could not be read."""

    runs: tuple[Run, ...]
    problems: tuple[str, ...]


def load_runs(
    runs_directory: Path, run_ids: Iterable[str] | None = None, told: Mapping[str, Told] = NOTHING_TOLD
) -> Store:
    """Read the runs under ``runs_directory``, all of them or those named.

    Ids without a directory are left out. A damaged record, or one that belongs to another run, is a problem and not
    an error; its run is listed as damaged when its configuration can still be read.

    Parameters
    ----------
    told
        What executors say of the runs, asked before this reads the disk.

    Raises
    ------
    InputError
        ``runs_directory`` does not exist.
    """
    if not runs_directory.is_dir():
        raise InputError(f"{runs_directory}: no such directory; give the directory that holds the runs")
    wanted = sorted({path.name for path in runs_directory.iterdir()} if run_ids is None else set(run_ids))
    found: dict[str, Run] = {}
    problems: list[str] = []
    unread = list(reversed(wanted))
    seen = set(unread)
    while unread:
        run = read_run(RunDirectory(runs_directory / unread.pop()), problems)
        if run is not None:
            found[run.run_id] = run
            unread += [parent for parent in run.parents if parent not in seen]
            seen.update(run.parents)
    resolved = resolve(found, told)
    return Store(tuple(resolved[run_id] for run_id in wanted if run_id in resolved), tuple(problems))


def read_run(directory: RunDirectory, problems: list[str]) -> Run | None:
    """The run as its own directory tells it, parents not asked; None for a directory that holds no run."""
    record, problem = None, None
    if directory.record.exists():
        record, problem = checked_record(directory.record)
    if record is not None:
        parents = tuple(parent.run_id for parent in record.parents)
        on_disk = OnDisk(parents, RunState.DONE)
        return _run(directory, record.stage, record.config, on_disk, record)
    if problem is not None:
        problems.append(problem)
    if not (directory.config.exists() or directory.config.is_symlink()):
        return None
    try:
        planned = directory.read_config()
    except FileNotFoundError:
        return None
    except (InputError, OSError) as error:
        problems.append(str(error))
        return None
    parents = tuple(planned["parents"])
    on_disk = unrecorded(directory, parents) if problem is None else OnDisk(parents, RunState.DAMAGED, problem)
    return _run(directory, planned["stage"], planned["config"], on_disk, None)


def look_at(directory: RunDirectory, parents: tuple[str, ...]) -> OnDisk:
    """What a planned run's directory says of it; a directory that is missing says that it has not run."""
    if directory.record.exists():
        record, problem = checked_record(directory.record)
        return OnDisk(parents, RunState.DAMAGED if record is None else RunState.DONE, problem)
    try:
        directory.read_config()
    except FileNotFoundError:
        pass
    except (InputError, OSError) as error:
        return OnDisk(parents, RunState.DAMAGED, str(error))
    return unrecorded(directory, parents)


def unrecorded(directory: RunDirectory, parents: tuple[str, ...]) -> OnDisk:
    """What the directory of a run without a record says of it."""
    state = directory.unrecorded_state()
    last = (directory.read_attempts() or [{}])[-1]
    failure = directory.read_failure() if directory.failure.exists() else {}
    number = last.get("scheduler_job_id")
    return OnDisk(
        parents,
        state,
        _reason(state, failure),
        is_interrupted=state is RunState.PLANNED and bool(failure),
        is_cancel_noted=directory.cancelled.exists(),
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
        return None, f"{path}: can't be read ({error.strerror or error})"


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
    """The runs with the state that follows from what executors say and from their parents."""
    standings = standing({run_id: run.on_disk for run_id, run in found.items()}, told)
    return {
        run_id: replace(run, state=standings[run_id].state, reason=standings[run_id].reason)
        for run_id, run in found.items()
    }

"""Loads the runs under one directory, with their effective states."""

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
from results.state import JobAnswer, OnDisk, Standing, standing

NO_ANSWERS: Mapping[str, JobAnswer] = MappingProxyType({})  # no executor knows any of the runs


@dataclass(frozen=True)
class Run:
    """One run directory.

    Parameters
    ----------
    stage
        ``pretrain`` or the evaluator's name.
    state
        The effective state: failed if a parent is failed, cancelled or damaged; waiting if a parent is unfinished.
    config
        ``{pretrain: …}``, and for an evaluation also ``{evaluator: …}``.
    reason
        One sentence why the run failed, waits, is damaged or unknown, or was interrupted.
    on_disk, parent_data
        The facts read from the run's directory, and ``data`` of the parent's: None twice without its valid record.
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
    parent_data: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True)
class Store:
    """Runs by id, and problems: a sentence for each damaged run or ancestor and each directory with a wrong name."""

    runs: tuple[Run, ...]
    problems: tuple[str, ...]


def run_names(runs_directory: Path) -> list[str]:
    """Return the names under ``runs_directory`` that may be runs, sorted: ASCII names that aren't hidden.

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
    runs_directory: Path, run_ids: Iterable[str] | None = None, answers: Mapping[str, JobAnswer] = NO_ANSWERS
) -> Store:
    """Read the runs under ``runs_directory``: all of them, or only ``run_ids``.

    Ids without a directory are left out. If a run's record, configuration or directory can't be read or trusted, the
    run is damaged. If a directory's name isn't a run id, the directory is skipped, and reported as a problem if it
    holds a record or a configuration.

    Parameters
    ----------
    answers
        Run id → the executor's answer. Query executors before this call: a run that ends in between is then read as
        done.

    Raises
    ------
    InputError
        ``runs_directory`` does not exist.
    """
    names = run_names(runs_directory)
    wanted = names if run_ids is None else sorted(set(run_ids))
    problems: list[str] = []
    resolved = resolve(_with_parents(runs_directory, wanted, problems), answers)
    runs = tuple(resolved[run_id] for run_id in wanted if run_id in resolved)
    return Store(runs, (*problems, *describe_damage(resolved.values())))


def describe_damage(runs: Iterable[Run]) -> list[str]:
    """Return one sentence for each damaged run."""
    damaged = sorted((run for run in runs if run.state is RunState.DAMAGED), key=lambda run: run.run_id)
    return [f"{run.run_id} is damaged: {run.reason}" for run in damaged]


def _with_parents(runs_directory: Path, run_ids: Sequence[str], problems: list[str]) -> dict[str, Run]:
    """Return the named runs and all their ancestors, with the states of their directories."""
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
    runs_directory: Path, planned: Mapping[str, tuple[str, ...]], answers: Mapping[str, JobAnswer] = NO_ANSWERS
) -> dict[str, Standing]:
    """Return the standing of each planned run and its ancestors; ``planned`` maps run ids to parents."""
    on_disk = {
        run_id: read_on_disk(RunDirectory(runs_directory / run_id), parents) for run_id, parents in planned.items()
    }
    further = [parent for parents in planned.values() for parent in parents if parent not in planned]
    ancestors = _with_parents(runs_directory, further, [])
    return standing({**{run_id: run.on_disk for run_id, run in ancestors.items()}, **on_disk}, answers)


def read_run(directory: RunDirectory, problems: list[str]) -> Run | None:
    """Read a run from its own directory, without its parents; None if the directory doesn't hold a run.

    Parameters
    ----------
    problems
        Receives a sentence if the directory holds files of a run but its name isn't a run id.
    """
    try:
        run = _read_run(directory)
    except OSError as error:
        run = _damaged(directory, f"{_unreadable(directory.path, error)}; make it readable, or: opera-bench retry")
    if run is None or run.state is not RunState.DAMAGED or stage_of_id(directory.run_id) is not None:
        return run
    if has_run_files(directory):
        problems.append(f"skipped: {run.reason}")
    return None


def has_run_files(directory: RunDirectory) -> bool:
    """Return whether a directory holds a record or a configuration, whatever its name."""
    try:
        return is_present(directory.record) or is_present(directory.config)
    except OSError:
        return False


def _read_run(directory: RunDirectory) -> Run | None:
    """Read a run from its record, or else from its configuration; None if the directory has neither.

    Raises
    ------
    OSError
        The path can't be searched or isn't a directory.
    """
    problem = None
    if is_present(directory.record):
        record, problem = checked_record(directory.record)
        if record is not None:
            return _run(directory, record.stage, record.config, _facts_of_record(record), record)
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
    on_disk = read_unrecorded(directory, parents) if problem is None else OnDisk(parents, RunState.DAMAGED, problem)
    return _run(directory, planned["stage"], planned["config"], on_disk, None)


def _without_configuration(directory: RunDirectory) -> Run | None:
    """Return a run without ``config.yaml`` but with attempts, a failure or a cancel note; None without any of them."""
    stage = stage_of_id(directory.run_id)
    if stage is None or not is_present(directory.path):
        return None
    directory.path.stat()  # raises for a dangling link
    if not any(is_present(path) for path in (directory.attempts, directory.failure, directory.cancelled)):
        return None
    on_disk = read_unrecorded(directory, ())
    reason = on_disk.reason or f"{directory.config} is missing; opera-bench run writes it again"
    return _run(directory, stage, {}, replace(on_disk, reason=reason), None)


def _damaged(directory: RunDirectory, reason: str) -> Run:
    """Return a damaged run, known only by its name."""
    stage = stage_of_id(directory.run_id) or "unknown"
    return _run(directory, stage, {}, OnDisk((), RunState.DAMAGED, reason), None)


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path}: can't be read ({error.strerror or error})"


def _facts_of_record(record: Record) -> OnDisk:
    """Return the facts of a run with a valid record."""
    parents = tuple(parent.run_id for parent in record.parents)
    evaluated = {parent.run_id: (parent.checkpoint_sha256, parent.header_sha256) for parent in record.parents}
    backbones = (checkpoint for checkpoint in record.checkpoints if checkpoint.role == "backbone")
    written = next(((backbone.sha256, backbone.header_sha256 or "") for backbone in backbones), None)
    data = (record.dataset.fingerprint, record.dataset.differs)
    return OnDisk(parents, RunState.DONE, None, written, evaluated, data)


def read_on_disk(directory: RunDirectory, parents: tuple[str, ...]) -> OnDisk:
    """Return the facts that a planned run's directory holds; state planned if the directory holds no run."""
    run = read_run(directory, [])
    return OnDisk(parents, RunState.PLANNED) if run is None else replace(run.on_disk, parents=parents)


def read_unrecorded(directory: RunDirectory, parents: tuple[str, ...]) -> OnDisk:
    """Return the facts that the directory of a run without a record holds."""
    try:
        state, has_cancel_note = directory.unrecorded_state(), directory.cancelled.exists()
    except OSError as error:
        return OnDisk(parents, RunState.DAMAGED, _unreadable(directory.path, error))
    last, failure = (directory.read_attempts() or [{}])[-1], directory.read_failure()
    job_id = last.get("scheduler_job_id")
    return OnDisk(
        parents,
        state,
        _reason(state, failure),
        is_interrupted=state is RunState.PLANNED and bool(failure),
        has_cancel_note=has_cancel_note,
        is_here=last.get("host") == socket.gethostname(),
        has_attempts=bool(last),
        job_id=job_id if isinstance(job_id, str) else None,
        began_at=modified_at(directory.attempts),
        failed_at=modified_at(directory.failure),
    )


def checked_record(path: Path) -> tuple[Record | None, str | None]:
    """Return the record at ``path``, or why it can't be trusted. Each process reads an unchanged file once."""
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
    parents, reason = on_disk.parents, on_disk.reason
    return Run(directory.run_id, stage, on_disk.state, config, parents, record, reason, directory.path, on_disk)


def _reason(state: RunState, failure: Mapping[str, Any]) -> str | None:
    lines = str(failure.get("error", "")).strip().splitlines()
    if state is RunState.FAILED:
        return lines[0] if lines else "no reason recorded"
    if state is RunState.PLANNED and lines:
        return f"interrupted ({lines[0]}); the same command goes on"
    if state is RunState.UNKNOWN:
        return "started on another host, and its heartbeat has stopped"
    return None


def resolve(runs: Mapping[str, Run], answers: Mapping[str, JobAnswer] = NO_ANSWERS) -> dict[str, Run]:
    """Return ``runs`` with effective states, which depend on executors and parents.

    A damaged run loses its record, so that its numbers can't be used.
    """
    standings = standing({run_id: run.on_disk for run_id, run in runs.items()}, answers)
    trusted = {run_id: run for run_id, run in runs.items() if standings[run_id].state is not RunState.DAMAGED}
    return {
        run_id: replace(
            run,
            state=standings[run_id].state,
            reason=standings[run_id].reason,
            record=run.record if run_id in trusted else None,
            parent_data=next((trusted[p].on_disk.data for p in run.parents if p in trusted), (None, None)),
        )
        for run_id, run in runs.items()
    }

"""Records failures of runs, sets damaged files aside and removes leftover files."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.plan.graph import PlannedRun
from bench.runs.states import RunStatus
from results.files import is_present
from results.record import has_other_schema
from results.runs import RunDirectory, RunState, write_atomically
from results.store import checked_record, planned_standings
from results.temporaries import remove_temporaries
from slurm.job import Handle, JobState

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""Error numbers of a full or failing disk. A run that meets one is interrupted, and the same command continues it."""
DAMAGED = ".damaged"
_STATE_FILES = ("training_state.pt", "previous_training_state.pt")
"""File names of training states. Copied from ``pretrain.engine.state``, which imports torch."""


def is_disk_error(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, is a full disk or an I/O error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return True
        if names_disk_error(str(error)):  # C++ and Rust libraries raise other errors with only this text
            return True
        error = error.__cause__ or error.__context__
    return False


def note_failure(run: RunDirectory, error: str, traceback: str = "", *, is_interrupted: bool) -> None:
    """Write ``failure.json``. If a full disk prevents this, the run counts as not started."""
    failure: dict[str, Any] = {"error": error, "traceback": traceback, "attempt": len(run.read_attempts())}
    if is_interrupted:
        failure["interrupted"] = True
    try:
        write_atomically(run.failure, json.dumps(failure, indent=2) + "\n")
    except OSError as full:
        if full.errno not in DISK_ERRORS:
            raise


def note_lost_job(handle: Handle, runs_directory: Path) -> None:
    """Write ``failure.json`` for a job that ended without a record or a failure, e.g. killed or out of memory.

    Does nothing if another process computes the run or the run was cancelled.
    """
    run = RunDirectory(runs_directory / handle.job.id)
    if handle.state not in (JobState.FAILED, JobState.DONE):
        return
    with run.claim() as free:
        if not free or run.record.exists() or run.failure.exists() or run.cancelled.exists():
            return
        reason = handle.reason or "ended well but left no record"
        note_failure(run, reason, is_interrupted=names_disk_error(reason))


def set_aside(damaged: Iterable[RunStatus], runs_directory: Path) -> list[str]:
    """Rename the damaged files of runs to ``….damaged``; return one sentence for each renamed file or directory.

    Renames records and configurations, or the whole directory if it can't be read. An unreadable directory that can't
    be renamed stays. So does a record of another schema version: another release of opera-bench can read it.
    """
    sentences = []
    for status in damaged:
        run_directory = RunDirectory(runs_directory / status.run.run_id)
        if _can_be_read(run_directory):
            with run_directory.claim() as free:
                renamed = _set_aside(status.run, run_directory) if free else []
        else:
            renamed = _set_aside_whole(run_directory)
        sentences += [f"{sentence}: {status.reason}" for sentence in renamed]
    return sentences


def _set_aside(run: PlannedRun, run_directory: RunDirectory) -> list[str]:
    """Rename the record and an invalid configuration of a locked run, if the run is still damaged."""
    standings = planned_standings(run_directory.path.parent, {run.run_id: run.parents})
    if standings[run.run_id].own_state is not RunState.DAMAGED:
        return []
    if has_other_schema(run_directory.record):
        return []
    found = [run_directory.record] if is_present(run_directory.record) else []
    if is_present(run_directory.config) and not _is_sound_config(run_directory):
        found.append(run_directory.config)
    sentences = []
    for path in found:
        aside = _unused(path)
        path.rename(aside)
        sentences.append(f"{run.run_id}: damaged {path.name} set aside as {aside.name}")
    return sentences


def _can_be_read(run_directory: RunDirectory) -> bool:
    try:
        os.listdir(run_directory.path)  # noqa: PTH208 — iterdir raises only when iterated
        is_present(run_directory.config)
    except OSError:
        return False
    return True


def _set_aside_whole(run_directory: RunDirectory) -> list[str]:
    """Rename a run directory that can't be read, or a file that has its name."""
    aside = _unused(run_directory.path)
    with contextlib.suppress(OSError):
        run_directory.path.rename(aside)
        return [f"{run_directory.run_id}: its directory set aside as {aside.name}"]
    return []


def remove_leftovers(runs: Sequence[PlannedRun], runs_directory: Path) -> None:
    """Remove temporary files of dead writers, and training states and ``failure.json`` of done ``runs``.

    Skips runs that a process has locked and files that can't be removed.
    """
    remove_temporaries(runs_directory)
    for run in runs:
        run_directory = RunDirectory(runs_directory / run.run_id)
        with contextlib.suppress(OSError):
            states = map(run_directory.checkpoints.joinpath, _STATE_FILES)
            left = [path for path in (*states, run_directory.failure) if path.exists()]
            if not left or not run_directory.record.exists() or checked_record(run_directory.record)[0] is None:
                continue
            with run_directory.claim() as free:
                for path in left if free else ():
                    path.unlink(missing_ok=True)


def _is_sound_config(run_directory: RunDirectory) -> bool:
    try:
        run_directory.read_config()
    except (ValueError, OSError):
        return False
    return True


def _unused(path: Path) -> Path:
    """Return the first unused path of ``record.json.damaged``, ``record.json.damaged-2``, …."""
    name, number = path.with_name(path.name + DAMAGED), 2
    while is_present(name):
        name, number = path.with_name(f"{path.name}{DAMAGED}-{number}"), number + 1
    return name


def names_disk_error(text: str) -> bool:
    """Return whether a message names the error of a full or failing disk."""
    return any(f"[Errno {number}]" in text or os.strerror(number) in text for number in DISK_ERRORS)

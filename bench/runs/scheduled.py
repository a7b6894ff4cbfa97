"""Accesses the files about submitted jobs in a runs directory: the ledger's lock and SLURM's logs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from results.runs import RunDirectory, modified_at
from slurm.job import JobState
from slurm.scheduler.ledger import Ledger
from slurm.scheduler.submission import settle_intents
from slurm.scheduler.told import read_states

FOLDER = ".slurm"
"""Folder in the runs directory with ledger, batch scripts and code snapshots."""


@contextlib.contextmanager
def submissions_held_up(runs_directory: Path) -> Iterator[None]:
    """Wait until no command submits jobs from this directory, and prevent submissions until the block ends.

    Raises
    ------
    InputError
        A submission was interrupted, and SLURM does not answer whether it has accepted the jobs.
    """
    folder = runs_directory / FOLDER
    if not folder.is_dir():
        yield
        return
    with Ledger(folder).locked():
        settle_intents(folder)
        yield


def scheduler_logs(runs_directory: Path, run_id: str, own_log: Path) -> tuple[Path, ...]:
    """SLURM's log files of the run's last job, one per process; empty if the run's own log is complete.

    A job first opens the run's log. Only SLURM's log shows errors before that, such as a missing Python, and the reason
    why a job was killed, such as lack of memory.
    """
    folder = runs_directory / FOLDER
    entry = Ledger(folder).latest().get(run_id)
    if entry is None or entry.slurm_id is None:
        return ()
    run = RunDirectory(runs_directory / run_id)
    has_begun = modified_at(own_log) >= entry.submitted_at.timestamp()
    has_ended = modified_at(run.record) or modified_at(run.failure)
    if has_begun and (has_ended or not _was_killed(folder, run_id)):
        return ()
    return tuple(sorted((folder / entry.name).glob(f"{entry.slurm_id}_*_log.out")))


def _was_killed(folder: Path, run_id: str) -> bool:
    told = read_states(folder).get(run_id)
    return told is not None and told.state is JobState.FAILED

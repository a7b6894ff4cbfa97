"""Submits a batch with one ``sbatch`` call through submitit and interprets the answer."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from slurm.errors import InputError
from slurm.scheduler.commands import slurm_ids_by_name, squeue
from slurm.scheduler.ledger import Ledger
from slurm.scheduler.profile import ClusterProfile
from slurm.scheduler.queue import Queue
from slurm.scheduler.script import MAX_TIMEOUTS, Batch, interpreter, parameters, without_inherited_flags
from slurm.scheduler.snapshot import SNAPSHOTS
from slurm.scheduler.task import Task


class NoRoomError(Exception):
    """A limit on submitted jobs is reached."""


def submit_batch(batch: Batch, profile: ClusterProfile, tasks: Sequence[Task], ledger: Ledger) -> str:
    """Submit a batch; return the job id that the scheduler gave it.

    Raises
    ------
    InputError
        The scheduler refuses the batch, or does not say whether it took it.
    NoRoomError
        A limit on submitted jobs is reached.
    """
    from submitit.core.utils import FailedJobError

    from slurm.scheduler.submitter import Submitter

    arguments = parameters(batch, profile)
    submitit = Submitter(batch.folder, max_num_timeout=MAX_TIMEOUTS, python=interpreter(batch.resources))
    submitit.update_parameters(**arguments)
    job_ids = [task.job_id for task in tasks]
    ledger.intend(batch.name, job_ids)
    try:
        with without_inherited_flags(batch.resources), submitit.batch():
            submitted = [submitit.submit(task) for task in tasks]
        number = str(submitted[0].job_id).partition("_")[0]
    except (FailedJobError, subprocess.SubprocessError, RuntimeError, UnicodeDecodeError) as error:
        found = _find_queued_id(batch.name, error)
        if found is None:
            ledger.refused(batch.name)
            shutil.rmtree(batch.folder, ignore_errors=True)
            if re.search(r"(Max|Grp)SubmitJob", str(error)):  # of the user, an account or a QOS
                raise NoRoomError from error
            raise InputError(f"cluster {profile.name}: sbatch refused: {_error_line(error)}") from error
        give_pickles_their_numbers(batch.folder, found, job_ids)
        number = found
    ledger.accepted(batch.name, number)
    return number


def settle_intents(folder: Path, *, give_up: bool = True) -> None:
    """Find out whether SLURM took the batches whose submission was interrupted. The caller holds the ledger's lock.

    Parameters
    ----------
    give_up
        If True, record a batch that SLURM does not know as refused; for commands that submit or cancel. A command that
        only reads must pass False: a slow ``sbatch`` may outlive the command that called it.

    Raises
    ------
    InputError
        There are such batches, and the scheduler does not answer.
    """
    ledger = Ledger(folder)
    unsettled = ledger.unsettled()
    if give_up and not unsettled:
        _remove_refused_folders(folder)
    if not unsettled:
        return
    try:
        found = slurm_ids_by_name(submission.name for submission in unsettled)
    except ConnectionError as error:
        raise InputError(f"an earlier submission was interrupted, and {error}; try again when it does") from error
    for submission in unsettled:
        name = submission.name
        if name in found:
            give_pickles_their_numbers(folder / name, found[name], submission.job_ids)
            ledger.accepted(name, found[name])
        elif give_up:
            ledger.refused(name)
    if give_up:
        _remove_refused_folders(folder)
    Queue(folder).forget_answers()


def _remove_refused_folders(folder: Path) -> None:
    """Remove scripts and pickles of batches that the scheduler did not take. The caller holds the ledger's lock."""
    accepted = {submission.name for submission in Ledger(folder).submissions() if not submission.refused}
    for path in folder.iterdir():
        if path.is_dir() and path.name not in accepted | {SNAPSHOTS}:
            shutil.rmtree(path, ignore_errors=True)


def element_numbers(number: str, size: int) -> list[str]:
    """Return the SLURM ids of a batch's jobs: those of the array elements, or the only job's id."""
    return [number] if size == 1 else [f"{number}_{index}" for index in range(size)]


def give_pickles_their_numbers(folder: Path, number: str, job_ids: Sequence[str]) -> None:
    """Rename the pickles by job id, as submitit does after submission. A started job waits a minute for its pickle."""
    from submitit.core.utils import DelayedSubmission

    numbers = dict(zip(job_ids, element_numbers(number, len(job_ids)), strict=True))
    for path in folder.glob("*.pkl"):
        task = cast(Task, DelayedSubmission.load(path).function)
        path.rename(folder / f"{numbers[task.job_id]}_submitted.pkl")


def _find_queued_id(name: str, error: Exception) -> str | None:
    """Return the job id found in ``squeue`` although ``sbatch`` failed: its reply can be lost after acceptance."""
    queued = squeue()
    if queued is None:
        # The intent stays in the ledger; the next submission settles it.
        raise InputError(f"sbatch: {_error_line(error)}; the next command finds out whether SLURM has the jobs")
    return next((row.slurm_id.partition("_")[0] for row in queued if row.name == name), None)


def _error_line(error: Exception) -> str:
    """Return the error text that ``sbatch`` printed, on one line."""
    text = str(getattr(error, "stderr", "") or error)
    return " ".join(text.replace("sbatch: error:", "").split())[-500:]

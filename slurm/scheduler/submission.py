"""One ``sbatch`` call through submitit, and what its answer means."""

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
    """A limit of submitted jobs is reached."""


def submit_batch(batch: Batch, profile: ClusterProfile, tasks: Sequence[Task], ledger: Ledger) -> str:
    """Hand a batch to the scheduler; the number that it gives it.

    Raises
    ------
    InputError
        The scheduler refuses, or can't be asked whether it has taken the batch.
    NoRoomError
        It takes no more for now.
    """
    from submitit.core.utils import FailedJobError

    from slurm.scheduler.submitter import Submitter

    told = parameters(batch, profile)
    submitit = Submitter(batch.folder, max_num_timeout=MAX_TIMEOUTS, python=interpreter(batch.resources))
    submitit.update_parameters(**told)
    job_ids = [task.job_id for task in tasks]
    ledger.intend(batch.name, job_ids)
    try:
        with without_inherited_flags(batch.resources), submitit.batch():
            submitted = [submitit.submit(task) for task in tasks]
        number = str(submitted[0].job_id).partition("_")[0]
    except (FailedJobError, subprocess.SubprocessError, RuntimeError, UnicodeDecodeError) as error:
        found = _number_in_the_queue(batch.name, error)
        if found is None:
            ledger.refused(batch.name)
            shutil.rmtree(batch.folder, ignore_errors=True)
            if re.search(r"(Max|Grp)SubmitJob", str(error)):  # of the user, an account or a QOS
                raise NoRoomError from error
            raise InputError(f"cluster {profile.name}: sbatch refused: {_said(error)}") from error
        give_pickles_their_numbers(batch.folder, found, job_ids)
        number = found
    ledger.accepted(batch.name, number)
    return number


def settle_intents(folder: Path, *, give_up: bool = True) -> None:
    """Find out about batches whose submission was cut off between the intent and the answer. The ledger is locked.

    Parameters
    ----------
    give_up
        What the scheduler does not know, it has not taken: said by a command that submits or cancels. A look is too
        early for that, while a slow ``sbatch`` outlives the command that called it.

    Raises
    ------
    InputError
        There are some, and the scheduler does not answer.
    """
    ledger = Ledger(folder)
    unsettled = ledger.unsettled()
    if give_up and not unsettled:
        _remove_folders_of_no_batch(folder)
    if not unsettled:
        return
    try:
        found = slurm_ids_by_name(submission.name for submission in unsettled)
    except ConnectionError as error:
        raise InputError(f"an earlier submission was cut off, and {error}; try again when it does") from error
    for submission in unsettled:
        name = submission.name
        if name in found:
            give_pickles_their_numbers(folder / name, found[name], submission.job_ids)
            ledger.accepted(name, found[name])
        elif give_up:
            ledger.refused(name)
    if give_up:
        _remove_folders_of_no_batch(folder)
    Queue(folder).forget_answers()


def _remove_folders_of_no_batch(folder: Path) -> None:
    """Remove scripts and pickles of batches that the scheduler did not take. The ledger is locked."""
    taken = {submission.name for submission in Ledger(folder).submissions() if not submission.refused}
    for path in folder.iterdir():
        if path.is_dir() and path.name not in taken | {SNAPSHOTS}:
            shutil.rmtree(path, ignore_errors=True)


def element_numbers(number: str, size: int) -> list[str]:
    """SLURM's numbers of the jobs of a batch: of an array's elements, or of the only one."""
    return [number] if size == 1 else [f"{number}_{index}" for index in range(size)]


def give_pickles_their_numbers(folder: Path, number: str, job_ids: Sequence[str]) -> None:
    """What submitit does when it hears of a number, later. A job that has started waits a minute for its pickle."""
    from submitit.core.utils import DelayedSubmission

    numbers = dict(zip(job_ids, element_numbers(number, len(job_ids)), strict=True))
    for path in folder.glob("*.pkl"):
        task = cast(Task, DelayedSubmission.load(path).function)
        path.rename(folder / f"{numbers[task.job_id]}_submitted.pkl")


def _number_in_the_queue(name: str, error: Exception) -> str | None:
    """The job id in ``squeue`` although ``sbatch`` reported failure: its reply can be lost after it took the job."""
    queued = squeue()
    if queued is None:
        # The intent stays open, and the next submission settles it.
        raise InputError(f"sbatch: {_said(error)}; whether SLURM has the jobs is found out by the next command")
    return next((row.slurm_id.partition("_")[0] for row in queued if row.name == name), None)


def _said(error: Exception) -> str:
    """What ``sbatch`` printed, on one line."""
    text = str(getattr(error, "stderr", "") or error)
    return " ".join(text.replace("sbatch: error:", "").split())[-500:]

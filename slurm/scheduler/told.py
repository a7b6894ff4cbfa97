"""Converts the scheduler's answers to the types shared by all executors."""

from __future__ import annotations

import contextlib
from pathlib import Path

from slurm.errors import InputError
from slurm.job import JobState, Told
from slurm.scheduler.commands import HELD_BY_ADMINISTRATOR, Standing, View
from slurm.scheduler.ledger import Ledger
from slurm.scheduler.queue import Queue
from slurm.scheduler.submission import settle_intents

STATES = {
    Standing.PENDING: JobState.WAITING,
    Standing.RUNNING: JobState.RUNNING,
    Standing.SUCCEEDED: JobState.DONE,
    Standing.FAILED: JobState.FAILED,
    Standing.NEVER: JobState.FAILED,
    Standing.CANCELLED: JobState.CANCELLED,
    Standing.GONE: JobState.UNKNOWN,
    Standing.SILENT: JobState.UNKNOWN,
}


def read_views(folder: Path, *, fresh: bool = False) -> dict[str, View]:
    """Return the scheduler's answer about each job submitted from ``folder``; empty if there is none.

    Parameters
    ----------
    fresh
        Ask the scheduler, even if the cached answer is recent.
    """
    if not folder.is_dir():
        return {}
    ledger = Ledger(folder)
    if ledger.unsettled():
        # Settle batches of an interrupted command. A command that is submitting holds the lock.
        with contextlib.suppress(InputError, OSError), ledger.locked_if_free() as free:
            if free:
                settle_intents(folder, give_up=False)
    return Queue(folder).views(fresh=fresh)


def read_states(folder: Path, *, fresh: bool = False) -> dict[str, Told]:
    """Return the state of each job submitted from ``folder``, by the suite's job id; ``fresh`` as in ``read_views``."""
    views = read_views(folder, fresh=fresh)
    if not views:
        return {}
    order = {submission.name: number for number, submission in enumerate(Ledger(folder).submissions())}
    latest = Ledger(folder).latest()
    return {
        job_id: Told(
            STATES[view.standing],
            _reason(view, latest[job_id].slurm_id if job_id in latest else None),
            view.slurm_id,
            view.asked_at,
            order[latest[job_id].name] if job_id in latest else 0,
            view.had_failed,
            view.standing is Standing.GONE,
            is_held=view.is_held,
            charge=view.charge,
        )
        for job_id, view in views.items()
    }


def _reason(view: View, submitted_as: str | None) -> str:
    job = f"SLURM job {view.slurm_id}"
    match view.standing:
        case Standing.PENDING if view.is_held:
            who = "an administrator must type" if view.detail == HELD_BY_ADMINISTRATOR else "release it with"
            return f"SLURM holds job {view.slurm_id} ({view.detail}); {who}: scontrol release {view.slurm_id}"
        case Standing.PENDING:
            return f"{job} is pending: {view.detail}"
        case Standing.CANCELLED:
            return f"{job} was cancelled"
        case Standing.NEVER:
            return f"{job} can never start: a job it depends on failed"
        case Standing.FAILED:
            return f"{job}: {view.detail}"
        case Standing.GONE:
            which = f"job {submitted_as}" if submitted_as else "this job"
            return f"SLURM has no record of {which}; if it did not finish: opera-bench retry"
        case Standing.SILENT:
            return "SLURM does not answer, so nobody can say where this run stands"
        case _:
            return job

"""Converts the scheduler's answers to the types shared by all executors."""

from __future__ import annotations

import contextlib
from pathlib import Path

from slurm.errors import InputError
from slurm.job import JobReport, JobState
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


def read_reports(folder: Path, *, fresh: bool = False) -> dict[str, JobReport]:
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
    views = Queue(folder).views(fresh=fresh)
    order = {submission.name: number for number, submission in enumerate(ledger.submissions())}
    latest = ledger.latest()
    return {
        job_id: JobReport(
            STATES[view.standing],
            _reason(view, latest[job_id].slurm_id),
            view.slurm_id,
            waits_for=view.detail if view.standing is Standing.PENDING else "",
            asked_at=view.asked_at,
            submitted_at=latest[job_id].submitted_at.timestamp(),
            submission=order[latest[job_id].name],
            had_failed=view.had_failed,
            is_forgotten=view.standing is Standing.GONE,
            is_held=view.is_held,
            charge=view.charge,
        )
        for job_id, view in views.items()
        if job_id in latest
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
            return "SLURM does not answer, so the state of this run is unknown"
        case _:
            return job

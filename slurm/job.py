"""The vocabulary every executor speaks: a job, its state, its handle.

Nothing here knows what a job computes. A job names a function by its import path and hands it JSON-able
arguments, so that the same job can run in this process, in a child, or on another machine.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class JobState(enum.StrEnum):
    """Where a job stands, as its executor knows it."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class Job:
    """One unit of work.

    Parameters
    ----------
    id
        Unique among the jobs that have not ended; parents are named by it.
    function
        Import path ``package.module:name``, called with ``**arguments`` where the job runs. A return is success,
        an exception is failure.
    arguments
        JSON-able keyword arguments.
    parents
        Ids of jobs that must be done first. A failed parent fails this job without running it.
    stage
        The kind of work, by which a cluster's profile chooses resources; executors on this machine ignore it.
    log_path
        Receives standard output and error, whole, whatever the job's end. Appended to; its directory is created.
    """

    id: str
    function: str
    arguments: Mapping[str, Any]
    log_path: Path
    parents: tuple[str, ...] = ()
    stage: str = ""


@dataclass
class Handle:
    """A submitted job.

    ``reason`` says in one sentence why a job failed or was cancelled. ``details`` is the executor's own, such as the
    process or scheduler id.
    """

    job: Job
    state: JobState = JobState.WAITING
    reason: str | None = None
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Charge:
    """Hours that accounting charged for jobs that have ended: of GPUs, or of processors if the jobs had no GPUs.

    ``numbers`` are the executor's own ids of these jobs.
    """

    hours: float
    is_of_gpus: bool
    numbers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Told:
    """What an executor says of the last job that was submitted under an id.

    Parameters
    ----------
    reason
        Why the job waits, failed or is unknown, in the executor's words.
    number
        The executor's own id of the job.
    asked_at
        When the executor was asked, in seconds, by the clock of the file system that holds the executor's folder.
    submission
        Counts submissions: of two jobs, the one that was submitted later has the larger number.
    had_failed
        The job did not succeed once, and is back in the queue.
    is_held
        The job waits until somebody releases it.
    is_forgotten
        The executor took the job and has no account of it any more.
    charge
        For all jobs that were submitted under the id; None while one has not ended or accounting has no answer.
    """

    state: JobState
    reason: str | None = None
    number: str | None = None
    asked_at: float = 0.0
    submission: int = 0
    had_failed: bool = False
    is_forgotten: bool = False
    is_held: bool = False
    charge: Charge | None = None


OnChange = Callable[[Handle], None]
"""Called in the submitting process and thread, during ``wait``, each time a handle's state changes."""


class Executor(Protocol):
    """One behaviour wherever jobs run: submit, wait, cancel."""

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Accept jobs in any order, all or none; may be called again while earlier jobs run.

        A parent is one of ``jobs`` or was submitted to this executor before; any other is taken as done. An executor
        that runs jobs on this machine starts none before ``wait``.

        Raises
        ------
        InputError
            A circle, an id twice, a malformed function or argument; the message names the jobs.
        """
        ...

    def wait(self, handles: Sequence[Handle], on_change: OnChange | None = None) -> None:
        """Return when every handle is final. ``KeyboardInterrupt`` cancels what runs and is raised again.

        What had not started then stays waiting. ``on_change`` hears of every job of this executor.
        """
        ...

    def states(self, ids: Collection[str]) -> dict[str, Told]:
        """What this executor knows of the last jobs with these ids, whoever submitted them; others are left out."""
        ...

    def cancel(self, handles: Sequence[Handle]) -> None:
        """End what runs, drop what waits; the descendants of a cancelled job are cancelled too."""
        ...

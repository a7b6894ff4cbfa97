"""The types that every executor uses: a job, its state, its handle.

A job names a function by its import path and passes it JSON values, so that it can run in this process, in a child
process or on another machine. Nothing here knows what a job computes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class JobState(enum.StrEnum):
    """The state of a job, as its executor knows it."""

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
        Unique among the jobs that have not ended; ``parents`` refers to it.
    function
        Import path ``package.module:name``, called with ``**arguments`` where the job runs. The job succeeds if the
        function returns and fails if it raises.
    arguments
        Keyword arguments; JSON values only.
    parents
        Ids of the jobs that must be done first. If a parent fails, this job fails without running.
    stage
        The kind of work. A cluster's profile sets resources by stage; executors on this machine ignore it.
    log_path
        File to which all standard output and error is appended, however the job ends. Its directory is created.
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

    ``reason`` says in one sentence why a job failed or was cancelled. ``details`` holds values of the executor, such as
    the process id or the SLURM job id.
    """

    job: Job
    state: JobState = JobState.WAITING
    reason: str | None = None
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Charge:
    """Hours that accounting charged for ended jobs: GPU hours, or processor hours if the jobs had no GPUs.

    ``numbers`` are the executor's ids of these jobs.
    """

    hours: float
    is_of_gpus: bool
    numbers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Told:
    """The executor's answer about the last job submitted under an id.

    Parameters
    ----------
    reason
        Why the job waits, failed or is unknown, in the executor's words.
    number
        The executor's id of the job, such as the SLURM job id.
    asked_at
        Time of the query, in seconds since the epoch, by the clock of the file system that holds the executor's folder.
    submission
        Order of submission: the later of two jobs has the larger number.
    had_failed
        True if the job ended without success before and is in the queue again.
    is_held
        True if the job waits until somebody releases it.
    is_forgotten
        True if the executor submitted the job and has no record of it any more.
    charge
        Of all jobs submitted under the id; None while one of them runs or has no record in accounting.
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
    """The interface of every executor, wherever it runs jobs: submit, wait, states, cancel."""

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Accept all jobs or none, in any order; may be called again while earlier jobs run.

        A parent may be in ``jobs`` or submitted to this executor earlier; any other parent counts as done. An executor
        that runs jobs on this machine starts none before ``wait``.

        Raises
        ------
        InputError
            A cycle, a duplicate id, a malformed function or argument; the message names the jobs.
        """
        ...

    def wait(self, handles: Sequence[Handle], on_change: OnChange | None = None) -> None:
        """Return when every handle is final. ``KeyboardInterrupt`` cancels running jobs and is raised again.

        Jobs that had not started stay waiting. ``on_change`` is called for every job of this executor, not only
        ``handles``.
        """
        ...

    def states(self, ids: Collection[str]) -> dict[str, Told]:
        """Return the state of the last job under each of these ids, whoever submitted it; unknown ids are left out."""
        ...

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Stop running jobs and drop waiting ones; descendants of a cancelled job are cancelled too."""
        ...

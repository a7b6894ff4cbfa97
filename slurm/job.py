"""What every executor has in common: jobs, their states, and the interface ``Executor``.

A job names a function by its import path and passes it JSON values, so that it can run in this process, in a child
process or on another machine. Nothing here knows what a job computes. Callers import this module and
``slurm.lookup``, and nothing else of this package.
"""

from __future__ import annotations

import contextlib
import enum
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from slurm.errors import InputError as InputError
from slurm.options import Code as Code
from slurm.options import Document as Document
from slurm.options import ExecutorOptions as ExecutorOptions
from slurm.options import Request as Request
from slurm.options import Resources as Resources
from slurm.stop import PeerLost as PeerLost
from slurm.stop import Stopped as Stopped
from slurm.stop import stop_requested as stop_requested

JOB_NUMBER = "OPERA_BENCH_JOB_NUMBER"
"""Environment variable in which an executor other than SLURM's tells a job its number (``JobReport.number``)."""
JOB_GROUP = "OPERA_BENCH_JOB_GROUP"
"""Environment variable with the process group of a job that shares the group with no other job."""


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

    ``reason`` says in one sentence why a job failed, was cancelled or was not accepted. ``number`` is the executor's id
    of the job, such as a process id or a SLURM job id; None until the executor has accepted the job.
    """

    job: Job
    state: JobState = JobState.WAITING
    reason: str | None = None
    number: str | None = None


@dataclass(frozen=True)
class Charge:
    """Hours that accounting charged for ended jobs: GPU hours, or processor hours if the jobs had no GPUs.

    ``numbers`` are the executor's ids of these jobs.
    """

    hours: float
    is_of_gpus: bool
    numbers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class JobReport:
    """The executor's answer about the last job submitted under an id.

    Parameters
    ----------
    reason
        Why the job waits, failed or is unknown, in one sentence that names the executor and the job.
    number
        The executor's id of the job, such as the SLURM job id.
    waits_for
        Why the job waits, in a few words, such as ``Priority``.
    executor
        ``Executor.title``; filled in by the caller.
    asked_at
        Time of the query, in seconds since the epoch, by the clock of the file system that holds the executor's folder.
    submitted_at
        Time of submission, in seconds since the epoch.
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
    waits_for: str = ""
    executor: str = ""
    asked_at: float = 0.0
    submitted_at: float = 0.0
    submission: int = 0
    had_failed: bool = False
    is_forgotten: bool = False
    is_held: bool = False
    charge: Charge | None = None

    @property
    def is_active(self) -> bool:
        """Whether the executor holds the job: it waits or runs."""
        return self.state in (JobState.WAITING, JobState.RUNNING)


OnChange = Callable[[Handle], None]
"""Called in the submitting process and thread, during ``wait``, each time a handle's state changes."""


class Executor(ABC):
    """Runs jobs. An executor implements ``submit``, ``wait`` and ``cancel``.

    An executor whose jobs outlive the command sets ``returns_at_once`` and implements ``open`` and ``states`` too, so
    that later commands find the jobs. If its name is NAME, it keeps its files in ``.NAME`` in the runs directory.
    """

    Options: ClassVar[type[ExecutorOptions]] = ExecutorOptions
    title: ClassVar[str] = "the executor"
    """The executor's name in messages: ``2 runs are with SLURM``."""
    returns_at_once: ClassVar[bool] = False
    """Whether jobs go on after the command: ``submit`` starts them, and the command doesn't call ``wait``."""
    shares_terminal: ClassVar[bool] = False
    """Whether jobs print to the terminal, so that no progress bars are drawn there."""
    required_flags: ClassVar[str] = ""
    """Options that ``--executor NAME`` needs, with a leading space, for suggested commands: `` --cluster NAME``."""

    preview_format: ClassVar[str] = ""
    """The word for ``plan --format`` that prints ``preview``, such as ``sbatch``; empty if there is none."""

    @classmethod
    def create(cls, options: Any, folder: Path, label: str, code: Code) -> Self:
        """Return an executor for one launch.

        Parameters
        ----------
        options
            An instance of ``Options``.
        folder
            The absolute path ``.NAME`` in the runs directory. It exists only if the executor makes it.
        label
            The sweep's name.
        """
        return cls()

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """Return an executor that knows the jobs submitted from ``folder``, and need not submit further ones."""
        return None

    @classmethod
    def diagnose(cls) -> tuple[tuple[str, bool | None, str], ...]:
        """Return lines for ``doctor``: subject, whether it is well (None if neither well nor wrong), and details."""
        return ()

    @abstractmethod
    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Accept all jobs or none, in any order; may be called again while earlier jobs run.

        A parent may be in ``jobs`` or submitted to this executor earlier; any other parent counts as done. An executor
        that runs jobs on this machine starts none before ``wait``. An executor that returns at once sets the ``number``
        of the jobs it took and the ``reason`` of the others, which go on with ``N runs are``. Jobs that a later
        submission can take stay waiting; those that can't run, such as jobs without their parents, have failed.

        Raises
        ------
        InputError
            A cycle, a duplicate id, a malformed function or argument; the message names the jobs.
        """

    @abstractmethod
    def wait(self, handles: Sequence[Handle], on_change: OnChange | None = None) -> None:
        """Return when every handle is final. ``KeyboardInterrupt`` cancels running jobs and is raised again.

        Jobs that had not started stay waiting. ``on_change`` is called for every job of this executor, not only
        ``handles``.
        """

    @abstractmethod
    def cancel(self, ids: Collection[str]) -> None:
        """Stop running jobs and drop waiting ones; descendants of a cancelled job are cancelled too.

        Ids of ended and unknown jobs are ignored. If a scheduler does not answer, raises ``InputError``.
        """

    def states(self, *, fresh: bool = False) -> dict[str, JobReport]:
        """Return the state of the last job under each id, whoever submitted it; ``fresh``: don't use cached answers."""
        return {}

    def logs(self, job_id: str) -> tuple[Path, ...]:
        """Return the files that hold what the last job under this id printed outside its own log."""
        return ()

    def preview(self, jobs: Sequence[Job]) -> list[str]:
        """Return what ``submit`` would hand over, such as batch scripts, without handing it over."""
        return []

    def settle(self) -> None:
        """Find out what became of submissions that were interrupted, for example by a killed command."""
        return

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Settle, and prevent submissions by other commands within the block."""
        return contextlib.nullcontext()

    def describe(self, handles: Sequence[Handle]) -> str:
        """Return where accepted jobs are: ``SLURM, in 3 jobs``."""
        return self.title

    def release_command(self, numbers: Sequence[str]) -> str:
        """Return the command that releases held jobs."""
        return ""


def job_host() -> str:
    """Return the name of the machine that runs this process's job; SLURM's name of the node comes first."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def job_number() -> str | None:
    """Return the executor's id of the job that this process belongs to; None outside a job of a scheduler."""
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID") or os.environ.get(JOB_NUMBER)


def leads_job_group() -> bool:
    """Return whether this process is a job whose process group may be signalled: no other job would be hit."""
    return os.environ.get(JOB_GROUP) == str(os.getpid()) == str(os.getpgrp())

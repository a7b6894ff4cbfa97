"""SLURM's commands and words: what ``squeue`` and ``sacct`` say of jobs, and ``scancel``."""

from __future__ import annotations

import enum
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slurm.errors import InputError
from slurm.job import Charge

CLIENT_VARIABLES = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")
"""Variables that tell SLURM's commands which cluster to talk to, and as whom."""
TIMEOUT_SECONDS = 60
IDS_PER_CALL = 500


class Standing(enum.StrEnum):
    """What the scheduler says about a job."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NEVER = "never"
    """Pending, and can never start: a job it depends on failed."""
    GONE = "gone"
    """Neither in the queue nor in the accounts, or the cluster keeps none."""
    SILENT = "silent"
    """The scheduler did not answer, or accounting did not about a job that left the queue."""

    @property
    def is_active(self) -> bool:
        """Whether the scheduler holds the job and may still run it."""
        return self in (Standing.PENDING, Standing.RUNNING)

    @property
    def is_over(self) -> bool:
        """Whether the job has ended and will not change any more."""
        return self in (Standing.SUCCEEDED, Standing.FAILED, Standing.CANCELLED)


@dataclass(frozen=True)
class View:
    """One job as the scheduler shows it; ``detail`` is its state or the reason why it waits, in SLURM's words.

    ``asked_at`` is when it was asked, in seconds since the epoch; ``had_failed`` whether the job is back after an end
    that was none of success. ``charge`` is for every job that was submitted for the same work, if all have ended.
    """

    standing: Standing
    detail: str = ""
    slurm_id: str | None = None
    asked_at: float = 0.0
    had_failed: bool = False
    charge: Charge | None = None

    @property
    def is_held(self) -> bool:
        """Whether the job waits until somebody releases it."""
        return self.standing is Standing.PENDING and _HELD.search(self.detail.partition(":")[0]) is not None


HELD_BY_ADMINISTRATOR = "JobHeldAdmin"
"""The reason of a held job that its user may not release."""
_HELD_STATES = {"REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
_HELD = re.compile(r"JobHeld|JobHold|requeued[ _]held|in[ _]held[ _]state|" + "|".join(sorted(_HELD_STATES)))
"""In every reason of a held job: JobHeldUser, JobHeldAdmin, JobHoldMaxRequeue, "launch failed requeued held", "job
requeued in held state". A reason may also list nodes, whose names are anything."""
_STANDINGS = {
    "PENDING": Standing.PENDING,
    "REQUEUED": Standing.PENDING,
    "REQUEUE_HOLD": Standing.PENDING,
    "REQUEUE_FED": Standing.PENDING,
    "SPECIAL_EXIT": Standing.PENDING,
    "RESV_DEL_HOLD": Standing.PENDING,
    "CONFIGURING": Standing.RUNNING,
    "RUNNING": Standing.RUNNING,
    "COMPLETING": Standing.RUNNING,
    "STAGE_OUT": Standing.RUNNING,
    "SIGNALING": Standing.RUNNING,
    "STOPPED": Standing.RUNNING,
    "SUSPENDED": Standing.RUNNING,
    "RESIZING": Standing.RUNNING,
    "COMPLETED": Standing.SUCCEEDED,
    "CANCELLED": Standing.CANCELLED,
}
"""SLURM's job states; those that are not here are ways to fail."""


_SAID_BY_THE_STATE = {"", "None", "NonZeroExitCode", "TimeLimit", "OutOfMemory", "NodeDown"}
"""Reasons that add nothing to the state of a job that failed."""
_NUMBER = re.compile(r"\d+(\+\d+)?(_(\d+|\[.*\]))?")
"""A job's number, of an array's element or elements, of a part of a heterogeneous job."""


@dataclass(frozen=True)
class Row:
    """One job in the queue or the accounts.

    Only the accounts have the user's number, the time of submission, how long the job held its allocation, and what it
    held: ``billing=8,cpu=8,gres/gpu=4,mem=64G,node=1``. A job that was requeued has one row for each time it started.
    """

    slurm_id: str
    name: str
    state: str
    reason: str = ""
    user_id: str = ""
    submitted: str = ""
    elapsed_seconds: str = ""
    allocated: str = ""

    def view(self) -> View:
        word = self.state.split()[0].rstrip("+") if self.state else ""
        standing = _STANDINGS.get(word, Standing.FAILED)
        if standing is Standing.PENDING and self.reason == "DependencyNeverSatisfied":
            return View(Standing.NEVER, self.reason, self.slurm_id)
        detail = word
        if standing is Standing.PENDING and self.reason not in ("", "None"):
            detail = self.reason
            if word in _HELD_STATES and not _HELD.search(detail):
                detail = f"{word} ({detail})"
        elif standing is Standing.FAILED and self.reason not in _SAID_BY_THE_STATE:
            detail = f"{word} ({self.reason})"
        return View(standing, detail, self.slurm_id)


def slurm_ids_by_name(names: Iterable[str]) -> dict[str, str]:
    """The job ids under which the queue or the accounts know these job names; others are left out.

    Raises
    ------
    ConnectionError
        The scheduler did not answer, so that nothing can be said about what it holds.
    """
    wanted = set(names)
    queued = squeue()
    if queued is None:
        raise ConnectionError("the scheduler does not answer")
    found = {row.name: row.slurm_id.partition("_")[0] for row in queued if row.name in wanted}
    if left := wanted - found.keys():
        accounts = accounts_by_name(left)
        if accounts is None:
            raise ConnectionError("accounting does not answer")
        found |= {row.name: row.slurm_id.partition("_")[0] for row in accounts if row.name in left}
    return found


def active_jobs() -> int | None:
    """How many of this user's jobs the scheduler holds, array elements counted one by one; None: no answer."""
    queued = squeue()
    return None if queued is None else sum(row.view().standing.is_active for row in queued)


def cancel_jobs(views: Sequence[View]) -> None:
    """``scancel`` those that the scheduler still holds.

    Raises
    ------
    InputError
        ``scancel`` failed.
    """
    wanted = [v.slurm_id for v in views if v.slurm_id and (v.standing.is_active or v.standing is Standing.NEVER)]
    for start in range(0, len(wanted), IDS_PER_CALL):
        command = ["scancel", *wanted[start : start + IDS_PER_CALL]]
        try:
            done = run_client(command, timeout_seconds=120)
        except subprocess.TimeoutExpired as error:
            raise InputError("scancel has not answered for two minutes; try again later") from error
        if done.returncode:
            raise InputError(f"scancel failed: {done.stderr.strip()}; try again later")


def squeue() -> tuple[Row, ...] | None:
    """This user's jobs, those that ended lately too; None when the controller does not answer."""
    text = _answer("squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i|%T|%r|%j")
    return None if text is None else tuple(Row(i, name, state, reason) for i, state, reason, name in _rows(text, 4))


def sacct(numbers: Iterable[str]) -> tuple[Row, ...] | None:
    """What the accounts say of these jobs and their array elements; None when accounting does not answer.

    Rows of one job follow each other in the order in which it was queued: the last says how it stands.
    A cluster without accounting knows nothing of jobs that have left the queue, which is an answer.
    """
    return _accounts(f"--jobs={','.join(sorted(numbers))}")


def accounts_by_name(names: Iterable[str]) -> tuple[Row, ...] | None:
    """Whoever submitted them: several people may share a runs directory."""
    return _accounts(f"--name={','.join(sorted(names))}", "--starttime=now-7days", "--allusers")


def _accounts(*selection: str) -> tuple[Row, ...] | None:
    flags = ("--allocations", "--duplicates", "--parsable2", "--noheader")
    columns = "--format=JobID,State,UID,Submit,ElapsedRaw,AllocTRES,JobName"
    text = _answer("sacct", *selection, *flags, columns, unless="accounting storage is disabled")
    if text is None:
        return None
    rows = (Row(number, name, state, "", *rest) for number, state, *rest, name in _rows(text, 7))
    return tuple(sorted(rows, key=lambda row: row.submitted))


def _rows(text: str, width: int) -> list[list[str]]:
    """The lines of ``width`` columns that begin with a job's number; a job's name, the last column, may hold anything.

    Only a line feed ends a line: ``str.splitlines`` would also split at control characters within a name.
    """
    lines = (line.split("|", width - 1) for line in text.split("\n"))
    return [columns for columns in lines if len(columns) == width and _NUMBER.fullmatch(columns[0])]


def plain_environment() -> dict[str, str]:
    """This process's, without what would have SLURM's commands show or touch a part of the jobs, or other ones."""
    flags = ("SQUEUE_", "SACCT_", "SCANCEL_", "SLURM_")
    return {name: value for name, value in os.environ.items() if name in CLIENT_VARIABLES or not name.startswith(flags)}


def _answer(*command: str, unless: str | None = None) -> str | None:
    """What a command prints; nothing if it fails with the words ``unless``, None if it fails with others."""
    try:
        done = run_client(command, TIMEOUT_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    if done.returncode:
        return "" if unless is not None and unless in done.stderr else None
    return done.stdout


def run_client(command: Sequence[str], timeout_seconds: float) -> subprocess.CompletedProcess[str]:
    """Run one of SLURM's commands to its end. Bytes of its output that are no UTF-8, in job names say, are replaced."""
    return subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout_seconds,
        check=False,
        env=plain_environment(),
    )

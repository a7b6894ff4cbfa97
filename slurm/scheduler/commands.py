"""Calls of SLURM's commands: ``squeue`` and ``sacct`` to read the state of jobs, ``scancel`` to cancel them."""

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
"""Environment variables that select the cluster and the user for SLURM's commands."""
TIMEOUT_SECONDS = 60
IDS_PER_CALL = 500


class Standing(enum.StrEnum):
    """The state of a job according to the scheduler."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NEVER = "never"
    """The job is pending and can never start: a job it depends on failed."""
    GONE = "gone"
    """Neither the queue nor accounting lists the job, or the cluster has no accounting."""
    SILENT = "silent"
    """The scheduler did not answer; or the job left the queue, and accounting did not answer."""

    @property
    def is_active(self) -> bool:
        """Whether the job is in the queue and may still run."""
        return self in (Standing.PENDING, Standing.RUNNING)

    @property
    def is_over(self) -> bool:
        """Whether the job has ended for good."""
        return self in (Standing.SUCCEEDED, Standing.FAILED, Standing.CANCELLED)


@dataclass(frozen=True)
class View:
    """The scheduler's answer about one job; ``detail`` is the job's state or its reason to wait, in SLURM's words.

    ``asked_at`` is the time of the query in seconds since the epoch. ``had_failed`` is True if the job ended without
    success before and is in the queue again. ``charge`` covers all jobs submitted for this work, once all have ended.
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
"""Reason of a held job that only an administrator can release."""
_HELD_STATES = {"REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
_HELD = re.compile(r"JobHeld|JobHold|requeued[ _]held|in[ _]held[ _]state|" + "|".join(sorted(_HELD_STATES)))
"""Matches the reason of every held job: JobHeldUser, JobHeldAdmin, JobHoldMaxRequeue, "launch failed requeued held",
"job requeued in held state". A reason may also list nodes, whose names can be anything."""
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
"""Maps SLURM's job states; a state that is not listed is a kind of failure."""


_REDUNDANT_REASONS = {"", "None", "NonZeroExitCode", "TimeLimit", "OutOfMemory", "NodeDown"}
"""Reasons that repeat the state of a failed job."""
_NUMBER = re.compile(r"\d+(\+\d+)?(_(\d+|\[.*\]))?")
"""Matches the id of a job, an array element, several array elements, or a component of a heterogeneous job."""


@dataclass(frozen=True)
class Row:
    """One job in the output of ``squeue`` or ``sacct``.

    Only ``sacct`` fills the last four fields: user id, time of submission, seconds that the job held its allocation,
    and the allocation, such as ``billing=8,cpu=8,gres/gpu=4,mem=64G,node=1``. A requeued job has one row per start.
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
        elif standing is Standing.FAILED and self.reason not in _REDUNDANT_REASONS:
            detail = f"{word} ({self.reason})"
        return View(standing, detail, self.slurm_id)


def slurm_ids_by_name(names: Iterable[str]) -> dict[str, str]:
    """Return the job ids of these job names, from the queue or accounting; unknown names are left out.

    Raises
    ------
    ConnectionError
        The scheduler did not answer, so it may hold any of them.
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
    """Return how many jobs of this user the scheduler holds, each array element counted; None if it did not answer."""
    queued = squeue()
    return None if queued is None else sum(row.view().standing.is_active for row in queued)


def cancel_jobs(views: Sequence[View]) -> None:
    """``scancel`` those of the jobs that the scheduler still holds.

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
    """Return this user's jobs, recently ended ones included; None if the controller does not answer."""
    text = _answer("squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i|%T|%r|%j")
    return None if text is None else tuple(Row(i, name, state, reason) for i, state, reason, name in _rows(text, 4))


def sacct(numbers: Iterable[str]) -> tuple[Row, ...] | None:
    """Return the accounting rows of these jobs and their array elements; None if accounting does not answer.

    Rows of one job are ordered by submission, so the last row has its current state. A cluster without accounting
    returns an empty tuple.
    """
    return _accounts(f"--jobs={','.join(sorted(numbers))}")


def accounts_by_name(names: Iterable[str]) -> tuple[Row, ...] | None:
    """Return the accounting rows of these job names, of all users: several people may share a runs directory."""
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
    """Return the lines of ``width`` columns that begin with a job id; the last column, the job name, may hold any text.

    Only a line feed ends a line: ``str.splitlines`` would also split at control characters within a name.
    """
    lines = (line.split("|", width - 1) for line in text.split("\n"))
    return [columns for columns in lines if len(columns) == width and _NUMBER.fullmatch(columns[0])]


def plain_environment() -> dict[str, str]:
    """Return this process's environment without variables that make SLURM's commands select other jobs."""
    flags = ("SQUEUE_", "SACCT_", "SCANCEL_", "SLURM_")
    return {name: value for name, value in os.environ.items() if name in CLIENT_VARIABLES or not name.startswith(flags)}


def _answer(*command: str, unless: str | None = None) -> str | None:
    """Return a command's output; '' if it fails with ``unless`` in its error text, None if it fails otherwise."""
    try:
        done = run_client(command, TIMEOUT_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    if done.returncode:
        return "" if unless is not None and unless in done.stderr else None
    return done.stdout


def run_client(command: Sequence[str], timeout_seconds: float) -> subprocess.CompletedProcess[str]:
    """Run one of SLURM's commands; bytes of its output that are not UTF-8, e.g. in job names, are replaced."""
    return subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout_seconds,
        check=False,
        env=plain_environment(),
    )

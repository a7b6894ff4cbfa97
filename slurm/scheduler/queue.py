"""The scheduler's own word on jobs: one ``squeue`` and at most one ``sacct``, whatever the number of jobs.

Answers are kept for a while in a file beside the ledger, longer where the controller is slow or does not answer, so
that no number of commands and watchers adds up to a burden. What ended is asked for once.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slurm.scheduler.ledger import Entry, Ledger

SECONDS_KEPT = 10.0
SLOW_FACTOR = 20
"""An answer that took t seconds is kept for this many times t, if that is longer."""
LONGEST_KEPT_SECONDS = 300.0
TIMEOUT_SECONDS = 60


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
    """Neither in the queue nor in the accounts."""
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
    """One job as the scheduler shows it; ``detail`` is its state or the reason why it waits, in SLURM's words."""

    standing: Standing
    detail: str = ""
    slurm_id: str | None = None
    expected_start: str | None = None


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


@dataclass(frozen=True)
class _Row:
    slurm_id: str
    name: str
    state: str
    reason: str = ""
    start: str = ""

    @property
    def key(self) -> str:
        return _key(self.name, self.slurm_id)

    def view(self) -> View:
        word = self.state.split()[0].rstrip("+") if self.state else ""
        standing = _STANDINGS.get(word, Standing.FAILED)
        if standing is Standing.PENDING and self.reason == "DependencyNeverSatisfied":
            return View(Standing.NEVER, self.reason, self.slurm_id)
        detail = self.reason if standing is Standing.PENDING and self.reason not in ("", "None") else word
        start = self.start if standing is Standing.PENDING and self.start not in ("", "N/A", "Unknown") else None
        return View(standing, detail, self.slurm_id, start)


class Queue:
    """The scheduler's word on the jobs of one ledger."""

    def __init__(self, folder: Path) -> None:
        self._ledger = Ledger(folder)
        self._file = folder / "queue.json"

    def views(self, *, fresh: bool = False) -> dict[str, View]:
        """Each submitted job as the scheduler shows it.

        Parameters
        ----------
        fresh
            Ask now, however recent the last answer is.
        """
        entries = self._ledger.latest()
        if not entries:
            return {}
        kept = self._read()
        ended: dict[str, list[str]] = kept.get("ended", {})
        open_entries = [entry for entry in entries.values() if _ended_view(entry, ended) is None]
        is_recent = 0 <= time.time() - kept.get("at", 0) < kept.get("seconds_kept", 0)
        covers = {entry.name for entry in open_entries} <= set(kept.get("asked", ()))
        if open_entries and (fresh or not is_recent or not covers):
            kept = self._ask(open_entries, ended)
            ended = kept["ended"]
        shown = {key: View(Standing(word), *rest) for key, word, *rest in kept.get("views", ())}
        found = {}
        for entry in entries.values():
            view = _ended_view(entry, ended) or shown.get(_key(entry.name, entry.slurm_id))
            found[entry.job_id] = view or _missing_view(entry, kept)
        return found

    def _ask(self, entries: list[Entry], ended: dict[str, list[str]]) -> dict[str, Any]:
        started = time.monotonic()
        names = {entry.name for entry in entries}
        queued = _squeue()
        rows = _by_key(queued or (), names)
        left = [entry for entry in entries if _key(entry.name, entry.slurm_id) not in rows and entry.slurm_id]
        accounts: tuple[_Row, ...] | None = ()
        if queued is not None and left:
            accounts = _sacct({str(entry.slurm_id).partition("_")[0] for entry in left})
            rows = {**_by_key(accounts or (), names), **rows}
        seconds = time.monotonic() - started
        views = {key: row.view() for key, row in rows.items()}
        over = {key: [v.standing.value, v.detail, v.slurm_id] for key, v in views.items() if v.standing.is_over}
        kept = {
            "at": time.time(),
            "seconds_kept": min(max(SECONDS_KEPT, SLOW_FACTOR * seconds), LONGEST_KEPT_SECONDS),
            "answered": queued is not None and accounts is not None,
            "asked": sorted(names),
            "known": sorted({row.name for row in rows.values()}),
            "views": [[key, *asdict(view).values()] for key, view in views.items()],
            "ended": {**ended, **over},
        }
        self._write(kept)
        return kept

    def _read(self) -> dict[str, Any]:
        try:
            loaded = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return loaded if isinstance(loaded, dict) else {}

    def _write(self, kept: Mapping[str, Any]) -> None:
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        # Nothing is lost when this can't be kept, but for the next question.
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(kept), encoding="utf-8")
            temporary.replace(self._file)


def slurm_ids_by_name(names: Iterable[str]) -> dict[str, str]:
    """The job ids under which the queue or the accounts know these job names; others are left out.

    Raises
    ------
    ConnectionError
        The scheduler did not answer, so that nothing can be said about what it holds.
    """
    wanted = set(names)
    queued = _squeue()
    accounts = _sacct_by_name(wanted)
    if queued is None or accounts is None:
        raise ConnectionError("the scheduler does not answer")
    return {row.name: row.slurm_id.partition("_")[0] for row in (*accounts, *queued) if row.name in wanted}


def active_jobs() -> int | None:
    """How many of this user's jobs the scheduler holds, array elements counted one by one; None: no answer."""
    queued = _squeue()
    return None if queued is None else sum(row.view().standing.is_active for row in queued)


def _key(name: str, slurm_id: str | None) -> str:
    """A job's name tells it from an older or newer job with the same number."""
    return f"{name} {slurm_id}"


def _by_key(rows: Iterable[_Row], names: set[str]) -> dict[str, _Row]:
    return {row.key: row for row in rows if row.name in names}


def _ended_view(entry: Entry, ended: Mapping[str, list[str]]) -> View | None:
    known = ended.get(_key(entry.name, entry.slurm_id))
    return View(Standing(known[0]), known[1], known[2]) if known else None


def _missing_view(entry: Entry, kept: Mapping[str, Any]) -> View:
    """What it means that neither the queue nor the accounts list a job.

    SLURM forgets an array's element that is cancelled before it starts; the array itself it still knows.
    """
    if not kept.get("answered", False):
        return View(Standing.SILENT)
    if entry.slurm_id and "_" in entry.slurm_id and entry.name in kept.get("known", ()):
        return View(Standing.CANCELLED, "CANCELLED", entry.slurm_id)
    return View(Standing.GONE)


def _squeue() -> tuple[_Row, ...] | None:
    """This user's jobs, those that ended lately too; None when the controller does not answer."""
    text = _answer("squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i|%T|%r|%S|%j")
    if text is None:
        return None
    fields = (line.split("|", 4) for line in text.splitlines())
    return tuple(_Row(each[0], each[4], each[1], each[2], each[3]) for each in fields if len(each) == 5)


def _sacct(numbers: Iterable[str]) -> tuple[_Row, ...] | None:
    """What the accounts say of these jobs and their array elements; None when accounting does not answer."""
    return _accounts(f"--jobs={','.join(sorted(numbers))}")


def _sacct_by_name(names: Iterable[str]) -> tuple[_Row, ...] | None:
    return _accounts(f"--name={','.join(sorted(names))}", "--starttime=now-7days")


def _accounts(*selection: str) -> tuple[_Row, ...] | None:
    text = _answer("sacct", *selection, "--allocations", "--parsable2", "--noheader", "--format=JobID,State,JobName")
    if text is None:
        return None
    fields = (line.split("|", 2) for line in text.splitlines())
    return tuple(_Row(each[0], each[2], each[1]) for each in fields if len(each) == 3)


def _answer(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout

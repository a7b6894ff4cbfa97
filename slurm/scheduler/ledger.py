"""The ledger: one append-only file that records which SLURM jobs were submitted for which work.

An intent is written before ``sbatch`` is called, and the outcome after. If a command is killed in between, the next
one finds the batch in SLURM by its name.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

TIME_TO_APPEAR = timedelta(days=1)
"""After this time, a job whose submission was given up can't reach the queue any more (slow ``sbatch`` or network)."""


@dataclass(frozen=True)
class Submission:
    """One batch that was submitted, or was about to be.

    Parameters
    ----------
    name
        The SLURM job name, unique among all submissions.
    job_ids
        This suite's ids, in the order of the array indices.
    slurm_id
        The job id that ``sbatch`` printed; None while unknown.
    """

    name: str
    job_ids: tuple[str, ...]
    submitted_at: datetime
    slurm_id: str | None = None
    refused: bool = False


@dataclass(frozen=True)
class Entry:
    """One submission of one job; ``slurm_id`` is the id of its array element, or None while unknown."""

    job_id: str
    name: str
    slurm_id: str | None
    submitted_at: datetime

    @property
    def key(self) -> str:
        return job_key(self.name, self.slurm_id)


def job_key(name: str, slurm_id: str | None) -> str:
    """Return the unique key of a SLURM job. The id alone is not unique: SLURM can use it again."""
    return f"{name} {slurm_id}"


class Ledger:
    """The ledger in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "ledger.jsonl"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this folder; other commands that submit to it wait until the block ends."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def locked_if_free(self) -> Iterator[bool]:
        """Yield True with the lock held, or False without waiting if another command holds it."""
        with (self._folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def unsettled(self) -> tuple[Submission, ...]:
        """Return the batches that may or may not have reached the scheduler."""
        return tuple(each for each in self.submissions() if each.slurm_id is None and not each.refused)

    def given_up(self) -> set[str]:
        """Return the names of batches given up within ``TIME_TO_APPEAR``: they may still reach the queue."""
        since = datetime.now(UTC) - TIME_TO_APPEAR
        return {each.name for each in self.submissions() if each.refused and each.submitted_at > since}

    def intend(self, name: str, job_ids: Sequence[str]) -> None:
        """Record a batch that is about to be submitted."""
        self._append({"name": name, "job_ids": list(job_ids), "at": datetime.now(UTC).isoformat()})

    def accepted(self, name: str, slurm_id: str) -> None:
        """Record the job id that the scheduler gave a batch."""
        self._append({"name": name, "slurm_id": slurm_id})

    def refused(self, name: str) -> None:
        """Record that the scheduler did not take a batch."""
        self._append({"name": name, "refused": True})

    def submissions(self) -> tuple[Submission, ...]:
        """Return every batch, in order. A half-written last line, left by a kill, is skipped."""
        found: dict[str, Submission] = {}
        for row in self._rows():
            name = row["name"]
            if "job_ids" in row:
                at = datetime.fromisoformat(row["at"])
                found[name] = Submission(name, tuple(row["job_ids"]), at)
            elif name in found:
                known = found[name]
                found[name] = Submission(
                    name,
                    known.job_ids,
                    known.submitted_at,
                    slurm_id=row.get("slurm_id", known.slurm_id),
                    refused=row.get("refused", False),
                )
        return tuple(found.values())

    def latest(self) -> dict[str, Entry]:
        """Return the last submission of each job, refused batches excepted."""
        return {entry.job_id: entry for entry in self.entries()}

    def entries(self) -> Iterator[Entry]:
        """Yield every submission of every job in order, refused batches excepted."""
        for submission in self.submissions():
            if submission.refused:
                continue
            single = len(submission.job_ids) == 1
            for index, job_id in enumerate(submission.job_ids):
                slurm_id = submission.slurm_id
                if slurm_id is not None and not single:
                    slurm_id = f"{slurm_id}_{index}"
                yield Entry(job_id, submission.name, slurm_id, submission.submitted_at)

    def _rows(self) -> Iterator[dict[str, Any]]:
        try:
            text = self._file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                row = json.loads(line)
                if _is_row(row):
                    yield row

    def _append(self, row: dict[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._file.open("a+b") as file:
            # If a kill left half a line, start a new line first.
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _is_row(row: Any) -> bool:
    """Return whether ``row`` is what ``Ledger`` writes. Damaged lines are skipped; the others stay usable."""
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        return False
    if not isinstance(row.get("slurm_id"), str | None) or not isinstance(row.get("refused", False), bool):
        return False
    if "job_ids" not in row:
        return True
    ids, at = row["job_ids"], row.get("at")
    try:
        is_dated = isinstance(at, str) and datetime.fromisoformat(at).tzinfo is not None
    except ValueError:
        return False
    return is_dated and isinstance(ids, list) and all(isinstance(job_id, str) for job_id in ids)

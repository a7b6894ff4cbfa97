"""What was submitted: one append-only file, from which every later command knows which jobs stand for which work.

An intent is written before ``sbatch`` is called and its outcome after. A submission that was cut off in between is
found again by its name.
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
"""How long after its submission was given up a job may still reach the queue, through a slow ``sbatch`` or network."""


@dataclass(frozen=True)
class Submission:
    """One batch that was handed to the scheduler, or was about to be.

    Parameters
    ----------
    name
        The SLURM job name, unique.
    job_ids
        This suite's ids, in the order of the array's indices.
    slurm_id
        The number ``sbatch`` answered; None while that is not known.
    """

    name: str
    job_ids: tuple[str, ...]
    submitted_at: datetime
    slurm_id: str | None = None
    refused: bool = False


@dataclass(frozen=True)
class Entry:
    """One submission of one job; ``slurm_id`` is that of its array element, or None when unknown."""

    job_id: str
    name: str
    slurm_id: str | None
    submitted_at: datetime

    @property
    def key(self) -> str:
        return job_key(self.name, self.slurm_id)


def job_key(name: str, slurm_id: str | None) -> str:
    """What stands for a job: its number alone may be that of an older or newer job."""
    return f"{name} {slurm_id}"


class Ledger:
    """The ledger in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "ledger.jsonl"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Submit alone: another command that submits to the same folder waits here until this one has written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def locked_if_free(self) -> Iterator[bool]:
        """The same without waiting: False while another command submits."""
        with (self._folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def unsettled(self) -> tuple[Submission, ...]:
        """Batches of which nobody knows whether the scheduler has taken them."""
        return tuple(each for each in self.submissions() if each.slurm_id is None and not each.refused)

    def given_up(self) -> set[str]:
        """Names of the batches that lately counted as not taken: the scheduler may have one all the same, later."""
        since = datetime.now(UTC) - TIME_TO_APPEAR
        return {each.name for each in self.submissions() if each.refused and each.submitted_at > since}

    def intend(self, name: str, job_ids: Sequence[str]) -> None:
        """Note a batch that is about to be submitted."""
        self._append({"name": name, "job_ids": list(job_ids), "at": datetime.now(UTC).isoformat()})

    def accepted(self, name: str, slurm_id: str) -> None:
        """Note the number that the scheduler gave a batch."""
        self._append({"name": name, "slurm_id": slurm_id})

    def refused(self, name: str) -> None:
        """Note that the scheduler never took a batch."""
        self._append({"name": name, "refused": True})

    def submissions(self) -> tuple[Submission, ...]:
        """Every batch, in order; a half-written last line, as a kill leaves it, is skipped."""
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
        """The last submission of each job that was not refused."""
        return {entry.job_id: entry for entry in self.entries()}

    def entries(self) -> Iterator[Entry]:
        """Every submission of every job that was not refused, in order."""
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
            # After a kill in the middle of a line, the next one starts on its own.
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _is_row(row: Any) -> bool:
    """Whether a line is one that this file writes; a damaged one is skipped, so that it hides no other."""
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

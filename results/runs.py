"""Reads and writes run directories, and derives a run's state from its directory.

``runs/<run_id>/``
    config.yaml      resolved configuration, written when the run is planned
    record.json      written once, at the end, atomically: the run is done
    failure.json     error, traceback, attempt: the run failed
    cancelled.json   the user cancelled it
    attempts.jsonl   one line per attempt: host, pid, start
    source.txt       path of the file that an import is started with
    progress.jsonl   training curves; its modification time is the heartbeat
    artifacts/       an evaluation's further files; the record has the SHA-256 of each, and the values of per_class.json
    checkpoints/ logs/
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, TypeGuard, cast

import yaml

from results import safe_yaml
from results.errors import InputError
from results.files import read_regular
from results.identity import require_own_id
from results.temporaries import open_locked

HEARTBEAT_SECONDS = 10
STALE_AFTER_SECONDS = 120
MOST_EPOCHS = 1e9
MOST_SECONDS = 1e12
"""Upper bound of a plausible duration in a file. Larger integers may not even fit a float."""


class RunState(StrEnum):
    """The states of a run.

    ``PLANNED`` can start; ``WAITING`` has unfinished parents; ``DAMAGED`` has a record or configuration that can't be
    trusted, and isn't done.
    """

    PLANNED = "planned"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    DAMAGED = "damaged"


_held: set[IO[str]] = set()
"""Run locks of this process. Forked children must close them: a loader worker can outlive its killed parent."""


def _close_locks() -> None:
    for lock in _held:
        lock.close()
    _held.clear()


os.register_at_fork(after_in_child=_close_locks)


class _File:
    """An attribute of ``RunDirectory``: the path of the file or folder ``name``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, directory: RunDirectory, owner: type) -> Path:
        return directory.path / self.name


@dataclass(frozen=True)
class RunDirectory:
    """Paths of one run's files, and functions that read them."""

    path: Path

    config = _File("config.yaml")
    record = _File("record.json")
    failure = _File("failure.json")
    cancelled = _File("cancelled.json")
    attempts = _File("attempts.jsonl")
    source = _File("source.txt")
    progress = _File("progress.jsonl")
    checkpoints = _File("checkpoints")
    artifacts = _File("artifacts")
    logs = _File("logs")

    @property
    def run_id(self) -> str:
        return self.path.name

    def read_config(self) -> dict[str, Any]:
        """Read ``config.yaml``: ``{run_id, stage, parents, config}``.

        Raises
        ------
        InputError
            The file is not a run's configuration, or its content belongs to another run.
        OSError
            The file can't be read.
        """
        remedy = f"delete the directory {self.path} to compute the run again"
        try:
            loaded = safe_yaml.load(read_regular(self.config).decode("utf-8"))
            run_id, stage, parents, config = (loaded[key] for key in ("run_id", "stage", "parents", "config"))
        except (ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError) as error:
            expected = "not a run's configuration (stage, config and parents are expected)"
            raise InputError(f"{self.config}: {expected}; {remedy}") from error
        try:
            if run_id != self.run_id:
                raise InputError(f"{self.config}: its run_id is {run_id}, its directory's name is {self.run_id}")
            require_own_id(self.run_id, stage, config, parents, where=str(self.config))
        except InputError as error:
            raise InputError(f"{error}; {remedy}") from error
        return cast("dict[str, Any]", loaded)

    def read_attempts(self) -> list[dict[str, Any]]:
        """Return the attempts in order, each with ``host``, ``started_at`` and ``seconds_before``.

        If a start time can't be read, the file's modification time replaces it.
        """
        return [self._repaired(row) for row in read_json_lines(self.attempts)]

    def _repaired(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            start = datetime.fromisoformat(row["started_at"])
            readable = start.tzinfo is not None
        except (KeyError, TypeError, ValueError):
            readable = False
        if not readable:
            row = {**row, "started_at": datetime.fromtimestamp(modified_at(self.attempts), UTC).isoformat()}
        before = row.get("seconds_before")
        is_seconds = isinstance(before, int | float) and 0 <= before < MOST_SECONDS
        return {**row, "host": str(row.get("host")), "seconds_before": before if is_seconds else 0.0}

    def read_progress(self) -> list[dict[str, Any]]:
        """Return the rows of ``progress.jsonl`` in order, without those whose epoch is not a plausible number."""
        return [row for row in read_json_lines(self.progress) if _is_epoch(row.get("epoch"))]

    def read_failure(self) -> dict[str, Any]:
        """Return the content of ``failure.json``; empty if it is missing or damaged."""
        try:
            loaded = json.loads(read_regular(self.failure))
        except (OSError, ValueError, RecursionError):
            return {}
        return loaded if isinstance(loaded, dict) else {}

    @contextlib.contextmanager
    def claim(self) -> Iterator[bool]:
        """Lock the run for this process; yield False if another process holds the lock.

        The lock ends when this process dies, even if processes that it forked live on.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            _held.add(lock)
            try:
                yield True
            finally:
                _held.discard(lock)

    def unrecorded_state(self) -> RunState:
        """Return the state of a run without a record, from its directory alone.

        If the last attempt started on this host, the run is running exactly while its lock is held. If it started on
        another host, a fresh heartbeat means running, and a stale one unknown, because the run may still be alive.
        """
        if self.failure.exists():
            # An attempt interrupted by a full disk is not a failure of the run: the same command continues it.
            return RunState.PLANNED if self.read_failure().get("interrupted") is True else RunState.FAILED
        if self.cancelled.exists():
            return RunState.CANCELLED
        attempts = self.read_attempts()
        if not attempts:
            return RunState.RUNNING if self.attempts.exists() and self.is_claimed() else RunState.PLANNED
        if attempts[-1].get("host") == socket.gethostname():
            return RunState.RUNNING if self.is_claimed() else RunState.PLANNED
        return RunState.RUNNING if self._heartbeat_age_seconds() < STALE_AFTER_SECONDS else RunState.UNKNOWN

    def is_claimed(self) -> bool:
        """Return whether a process holds the run's lock. Uses a shared lock, so that two such tests don't collide."""
        try:
            lock = os.fdopen(os.open(self.path / "lock", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
        except OSError:
            return False
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def _heartbeat_age_seconds(self) -> float:
        newest = max(modified_at(self.progress), modified_at(self.attempts))
        return file_system_seconds(self.path) - newest


def modified_at(path: Path) -> float:
    """Return a file's modification time in seconds, by the file server's clock; 0 if the file is missing."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def file_system_seconds(directory: Path) -> float:
    """Return the current time in seconds, by the clock that dates files in ``directory``.

    That clock is a file server's and may be an hour off this host's. If ``directory`` isn't writable, this host's clock
    is used.
    """
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that readers see either the whole old file or the whole new one, even after a power cut.

    The temporary file is locked while it is written, so that ``remove_temporaries`` doesn't remove it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open_locked(temporary) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def is_progress(row: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a row of ``progress.jsonl`` has plausible ``epoch`` and ``total_epochs``."""
    return isinstance(row, dict) and _is_epoch(row.get("epoch")) and _is_epoch(row.get("total_epochs"))


def _is_epoch(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < MOST_EPOCHS


def append_json_line(path: Path, row: dict[str, Any]) -> None:
    """Append a row to a JSON-lines file. If a kill left a half-written last line, the row starts on a new line."""
    with path.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(row).encode() + b"\n")


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON-lines file; skip lines that aren't JSON objects, such as a line cut off by a kill."""
    try:
        text = read_regular(path).decode("utf-8", "replace")
    except OSError:
        return []
    rows = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows

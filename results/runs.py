"""The run directory: what is on disk about one run, and the state that follows from it.

``runs/<run_id>/``
    config.yaml      resolved configuration, written when the run is planned
    record.json      written once, at the end, atomically: the run is done
    failure.json     error, traceback, attempt: the run failed
    cancelled.json   the user cancelled it
    attempts.jsonl   one line per attempt: host, pid, start
    progress.jsonl   training curves; its modification time is the heartbeat
    artifacts/       what an evaluation leaves beside its numbers; the record has each file's SHA-256, and the
                     values of per_class.json
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
"""No attempt takes longer; an integer of 400 digits is no time, and no float either."""


class RunState(StrEnum):
    """The states every listing uses.

    ``PLANNED`` would run now; ``WAITING`` has unfinished parents; ``DAMAGED`` has a record or a configuration that
    can't be trusted, and counts as not done.
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
"""Locks of this process. A data loader's worker inherits them, and can outlive a process that is killed."""


def _let_go_of_locks() -> None:
    for lock in _held:
        lock.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go_of_locks)


@dataclass(frozen=True)
class RunDirectory:
    """Paths and atomic writes of one run."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def record(self) -> Path:
        return self.path / "record.json"

    @property
    def failure(self) -> Path:
        return self.path / "failure.json"

    @property
    def cancelled(self) -> Path:
        return self.path / "cancelled.json"

    @property
    def attempts(self) -> Path:
        return self.path / "attempts.jsonl"

    @property
    def progress(self) -> Path:
        return self.path / "progress.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def read_config(self) -> dict[str, Any]:
        """``{run_id, stage, parents, config}`` as planned.

        Raises
        ------
        InputError
            The file is no run's configuration, or its content is not that of this directory's run.
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
        """The attempts in order, each with a ``host``, ``started_at`` and ``seconds_before``.

        A damaged line is repaired: an attempt whose start can't be read started when the file was last written.
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
        """The rows of the curves in order; a row whose epoch is no number is left out."""
        return [row for row in read_json_lines(self.progress) if _is_epoch(row.get("epoch"))]

    def read_failure(self) -> dict[str, Any]:
        """What ``failure.json`` says; empty where it is missing or damaged."""
        try:
            loaded = json.loads(read_regular(self.failure))
        except (OSError, ValueError, RecursionError):
            return {}
        return loaded if isinstance(loaded, dict) else {}

    @contextlib.contextmanager
    def claim(self) -> Iterator[bool]:
        """Hold the run exclusively; yields False when another process holds it.

        Released when its holder dies, whatever becomes of the processes that it has forked.
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
        """The state of a run without a record, as its directory tells it.

        A run whose last attempt started on this host is running exactly while it holds its lock. On another host
        the heartbeat decides: fresh is running, stale is unknown, since unknown is not dead.
        """
        if self.failure.exists():
            # A full disk is nothing that the run did: the same command goes on.
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
        """Whether a process of this host holds the run. A shared lock asks, so that askers don't see each other."""
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
    """When a file was last written, in seconds by the file server's clock; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def file_system_seconds(directory: Path) -> float:
    """Now, by the clock that dates the files in ``directory``; this host's clock where nothing can be written there.

    The clock of a file server, or of the host that wrote a file, may differ from this host's by an hour.
    """
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that a reader sees the old file or the new one, whole, even across a power cut.

    The writer holds a lock on its temporary file, so that ``remove_temporaries`` spares it.
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
    """Whether a row of ``progress.jsonl`` says how far the run is."""
    return isinstance(row, dict) and _is_epoch(row.get("epoch")) and _is_epoch(row.get("total_epochs"))


def _is_epoch(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < MOST_EPOCHS


def append_json_line(path: Path, row: dict[str, Any]) -> None:
    """Add a row; after a kill in the middle of a line, it starts on its own."""
    with path.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(row).encode() + b"\n")


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file; a half-written last line is what a kill leaves, and is skipped."""
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

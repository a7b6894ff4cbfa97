"""Records an attempt at a run: its line in ``attempts.jsonl`` and its heartbeat."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from results.runs import HEARTBEAT_SECONDS, RunDirectory, append_json_line, modified_at
from slurm.job import job_number, leads_job_group


@dataclass(frozen=True)
class Attempt:
    """One attempt at a run; ``seconds_before`` is the computing time of all earlier attempts."""

    number: int
    started_at: datetime
    first_started_at: datetime
    seconds_before: float


def begin_attempt(run: RunDirectory) -> Attempt:
    """Append this attempt to ``attempts.jsonl``, delete earlier failure and cancel notes, and return the attempt."""
    earlier = run.read_attempts()
    started_at = datetime.now(UTC)
    seconds_before = 0.0
    first_started_at = started_at
    if earlier:
        first_started_at = datetime.fromisoformat(earlier[0]["started_at"])
        last = earlier[-1]
        # The last heartbeat shows how long a killed attempt ran.
        last_seen = modified_at(run.progress)
        ran = last_seen - datetime.fromisoformat(last["started_at"]).timestamp()
        seconds_before = float(last["seconds_before"]) + max(ran, 0.0)
    attempt = Attempt(len(earlier) + 1, started_at, first_started_at, seconds_before)
    append_json_line(
        run.attempts,
        {
            "attempt": attempt.number,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": started_at.isoformat(),
            "seconds_before": round(seconds_before, 3),
            "scheduler_job_id": job_number(),
            "leads_job_group": leads_job_group(),
        },
    )
    run.failure.unlink(missing_ok=True)
    run.cancelled.unlink(missing_ok=True)
    return attempt


@contextlib.contextmanager
def heartbeat(run: RunDirectory) -> Iterator[None]:
    """Touch ``progress.jsonl`` every ``HEARTBEAT_SECONDS`` and once at the end."""
    stop = threading.Event()

    def beat() -> None:
        while True:
            with contextlib.suppress(OSError):  # the next heartbeat may succeed
                run.progress.touch()
            if stop.wait(HEARTBEAT_SECONDS):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        run.progress.touch()

"""Whom to believe about a run: its directory or the scheduler."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from bench.scheduled import knows_better
from bench.states import own_standing
from results.runs import RunDirectory, RunState
from slurm.scheduler.commands import Standing, View


def started(directory: Path, host: str, job: str) -> RunDirectory:
    """A run whose heartbeat is fresh."""
    run = RunDirectory(directory / "run")
    run.path.mkdir()
    run.attempts.write_text(json.dumps({"attempt": 1, "host": host, "pid": 1, "scheduler_job_id": job}) + "\n")
    run.progress.touch()
    return run


@pytest.mark.parametrize(
    ("host", "job", "standing", "state"),
    [
        ("elsewhere", "7_0", Standing.CANCELLED, RunState.CANCELLED),
        ("elsewhere", "7_0", Standing.FAILED, RunState.FAILED),
        ("elsewhere", "7_0", Standing.RUNNING, RunState.RUNNING),
        ("elsewhere", "7_0", Standing.SUCCEEDED, RunState.RUNNING),
        ("elsewhere", "8_0", Standing.CANCELLED, RunState.RUNNING),
    ],
)
def test_a_heartbeat_does_not_outlive_the_job_that_the_scheduler_saw_end(
    tmp_path: Path, host: str, job: str, standing: Standing, state: RunState
) -> None:
    run = started(tmp_path, host, job)
    assert own_standing(run, View(standing, "", "7_0"))[0] is state


def test_a_job_that_was_sent_back_since_it_began_waits(tmp_path: Path) -> None:
    run = started(tmp_path, "elsewhere", "7_0")
    began_at = run.attempts.stat().st_mtime
    assert own_standing(run, View(Standing.PENDING, "BeginTime", "7_0", began_at + 1))[0] is RunState.WAITING
    assert own_standing(run, View(Standing.PENDING, "Priority", "7_0", began_at - 1))[0] is RunState.RUNNING


def test_a_failed_run_whose_job_is_back_in_the_queue_waits(tmp_path: Path) -> None:
    run = started(tmp_path, "elsewhere", "7_0")
    run.failure.write_text('{"error": "lost"}')
    failed_at = run.failure.stat().st_mtime
    assert own_standing(run, View(Standing.PENDING, "BeginTime", "7_0", failed_at + 1))[0] is RunState.WAITING
    assert own_standing(run, View(Standing.PENDING, "Priority", "7_0", failed_at - 1))[0] is RunState.FAILED
    assert own_standing(run, View(Standing.RUNNING, "", "7_0", failed_at + 1))[0] is RunState.FAILED


def test_on_this_host_the_lock_is_believed(tmp_path: Path) -> None:
    run = started(tmp_path, socket.gethostname(), "7_0")
    with run.claim() as free:
        assert free
        assert not knows_better(View(Standing.CANCELLED, "", "7_0"), run, RunState.RUNNING)

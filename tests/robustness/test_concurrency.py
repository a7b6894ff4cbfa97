"""Several commands on one runs directory at once, hosts that died, and clocks that are off."""

from __future__ import annotations

import json
import os
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from results.record import read_record
from results.runs import STALE_AFTER_SECONDS, RunDirectory, RunState
from tests.robustness.commands import CommandServer
from tests.robustness.conftest import Tally
from tests.robustness.scenarios import contents, held_locks, run_directories, state_of, write_images

RANDOM_WEIGHTS = """\
name: {name}
data: {{imagenet: {data}}}
pretrain:
  - {{method: random_init, backbone: tiny_vit, dataset: imagenet, recipe: digits-random-init}}
evaluate:
  - knn: {{recipe: knn-digits}}
"""
HOUR_SECONDS = 3600
pytestmark = pytest.mark.timeout(0)  # the server of commands ends one that hangs


def command(verb: str, sweep: Path, runs: Path) -> list[str]:
    return [verb, str(sweep), "--runs", str(runs), "--executor", "inline", "--yes"]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    data = folder / "images"
    if not data.exists():
        write_images(data)
    path.write_text(text.format(name=name, data=data), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("commands", [2, pytest.param(8, marks=pytest.mark.whole)])
def test_commands_on_one_runs_directory_compute_each_run_once(
    commands: int, server: CommandServer, tmp_path: Path, tally: Tally
) -> None:
    sweep, runs = write(tmp_path, "one", RANDOM_WEIGHTS), tmp_path / "runs"
    server.run_together([command("run", sweep, runs)] * commands)
    assert [state_of(run) for run in run_directories(runs)] == [RunState.DONE] * 2
    assert [len(run.read_attempts()) for run in run_directories(runs)] == [1, 1]
    assert held_locks(runs) == []
    alone = tmp_path / "alone"
    server.run_together([command("run", sweep, alone)])
    without_report = {name: value for name, value in contents(runs).items() if not name.startswith("report/")}
    assert without_report == {n: value for n, value in contents(alone).items() if not n.startswith("report/")}
    tally("commands at once on one runs directory", commands)


@pytest.mark.slow
def test_two_sweeps_that_share_a_pretraining_compute_it_once(
    server: CommandServer, tmp_path: Path, tally: Tally
) -> None:
    runs = tmp_path / "runs"
    one = write(tmp_path, "one", RANDOM_WEIGHTS)
    other = write(tmp_path, "other", RANDOM_WEIGHTS.replace("knn-digits}}", "knn-digits, neighbours: 5}}"))
    server.run_together([command("run", sweep, runs) for sweep in (one, other)])
    found = list(run_directories(runs))
    assert sorted(read_record(run.record).stage for run in found) == ["knn", "knn", "pretrain"]
    assert [len(run.read_attempts()) for run in found] == [1, 1, 1]
    tally("sweeps at once that share a pretraining", 2)


def leave_dead_attempt(run: RunDirectory, *, host: str, seconds_ago: float) -> None:
    """The files of an attempt whose heartbeat was last seen so long ago; negative: in the future."""
    started_at = datetime.now(UTC) - timedelta(seconds=seconds_ago + 60)
    row = {"attempt": 1, "host": host, "pid": 1, "started_at": started_at.isoformat(), "seconds_before": 0.0}
    run.attempts.write_text(json.dumps({**row, "scheduler_job_id": None}) + "\n", encoding="utf-8")
    run.progress.touch()
    for path in (run.attempts, run.progress):
        os.utime(path, (time.time() - seconds_ago,) * 2)


@pytest.fixture
def interrupted(server: CommandServer, tmp_path: Path) -> tuple[Path, Path, RunDirectory]:
    """A finished sweep whose evaluation is taken back, as if it had been started and not ended."""
    sweep, runs = write(tmp_path, "one", RANDOM_WEIGHTS), tmp_path / "runs"
    server.run_together([command("run", sweep, runs)])
    (evaluation,) = (run for run in run_directories(runs) if run.run_id.startswith("knn"))
    evaluation.record.unlink()
    return sweep, runs, evaluation


@pytest.mark.slow
def test_a_run_of_a_dead_host_is_unknown_until_retry_starts_it(
    interrupted: tuple[Path, Path, RunDirectory], server: CommandServer, tally: Tally
) -> None:
    sweep, runs, evaluation = interrupted
    leave_dead_attempt(evaluation, host="another-host", seconds_ago=STALE_AFTER_SECONDS + 5)
    assert state_of(evaluation) is RunState.UNKNOWN
    server.run_together([command("retry", sweep, runs)])
    assert state_of(evaluation) is RunState.DONE
    assert read_record(evaluation.record).attempts == 2
    tally("heartbeats of dead hosts", 1)


@pytest.mark.slow
@pytest.mark.parametrize("seconds_ago", [HOUR_SECONDS, -HOUR_SECONDS], ids=["an hour late", "an hour early"])
def test_a_clock_that_is_off_loses_no_run_and_repeats_none(
    seconds_ago: float, interrupted: tuple[Path, Path, RunDirectory], server: CommandServer, tally: Tally
) -> None:
    """On this host the lock decides and not the clock; a run that is done stays done, whatever its files' times."""
    sweep, runs, evaluation = interrupted
    leave_dead_attempt(evaluation, host=socket.gethostname(), seconds_ago=seconds_ago)
    for path in runs.rglob("*"):
        os.utime(path, (time.time() - seconds_ago,) * 2)
    assert state_of(evaluation) is RunState.PLANNED
    server.run_together([command("run", sweep, runs)])
    record = read_record(evaluation.record)
    assert record.attempts == 2
    assert 0 <= record.timing.seconds < 2 * HOUR_SECONDS
    parent = next(run for run in run_directories(runs) if run.run_id.startswith("pretrain"))
    assert len(parent.read_attempts()) == 1, "a run that is done is not computed again"
    tally("clocks off by an hour", 1)

"""A sweep from the command line to its records: what starts, what does not, what is left behind."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bench.plan.graph import plan_sweep
from bench.sweep.load import load_sweep
from results.record import read_record
from results.runs import RunDirectory, RunState
from results.store import read_on_disk
from tests.bench.conftest import SWEEP, Engine
from tests.conftest import Ended

ONE = """\
name: one
pretrain:
  - {method: moco_v3, backbone: tiny_vit, dataset: digits}
evaluate:
  - probe: {epochs: [1, 2]}
"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(
    command: Callable[..., Ended], runs: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    """``opera-bench run`` inline, the report left out: it has its own tests."""
    monkeypatch.setattr("bench.launch.run_sweep.finish_sweep", lambda *_: None)

    def call(sweep: Path, *options: str, verb: str = "run") -> Ended:
        return command(verb, sweep, "--runs", runs, "--executor", "inline", "--yes", *options)

    return call


def jobs_started(ended: Ended) -> int:
    return sum(line.startswith("[") for line in ended.err.splitlines())


def states(runs: Path, sweep: Path) -> dict[str, str]:
    planned = plan_sweep(load_sweep(str(sweep))).runs
    return {run.run_id: read_on_disk(RunDirectory(runs / run.run_id), run.parents).state.value for run in planned}


def test_a_sweep_leaves_records_of_everything(run, runs, write_sweep) -> None:
    sweep = write_sweep(SWEEP)
    ended = run(sweep)
    assert (ended.status, jobs_started(ended)) == (0, 8), ended.err
    assert set(states(runs, sweep).values()) == {"done"}
    for planned in plan_sweep(load_sweep(str(sweep))).runs:
        directory = RunDirectory(runs / planned.run_id)
        record = read_record(directory.record)
        assert record.config == planned.config == directory.read_config()["config"]
        assert (record.run_id, record.stage) == (planned.run_id, planned.stage)
        assert record.dataset.sizes["train"] + record.dataset.sizes["val"] == 1797
        assert len(record.dataset.fingerprint) == 64
        assert record.machine.peak_memory_bytes > 10**7
        assert {"python", "torch", "numpy"} <= set(record.software.packages)
        assert record.attempts == 1
        if planned.stage == "probe":
            parent = read_record(runs / planned.parents[0] / "record.json")
            assert record.parents[0].checkpoint_sha256 == parent.checkpoints[0].sha256
            assert record.metrics == {"top1": 2.0 * record.seed + 1}
            assert directory.read_progress()[-1] == {"epoch": 1, "total_epochs": 1, "loss": 0.5}
            assert record.per_class == {"zero": {"IoU": 12.5}, "one": {"IoU": None}}
            assert set(record.artifacts) == {"per_class.json"}
        else:
            assert record.per_class is None
            assert record.images_per_second == 100.0


def test_a_second_run_starts_nothing(run, write_sweep) -> None:
    sweep = write_sweep(SWEEP)
    run(sweep)
    ended = run(sweep)
    assert (ended.status, jobs_started(ended)) == (0, 0)
    assert "8 runs, 8 done; starting 0 jobs" in ended.err


def test_deleting_a_record_runs_exactly_that_run_again(run, runs, write_sweep) -> None:
    sweep = write_sweep(SWEEP)
    run(sweep)
    before = {path: path.stat().st_mtime_ns for path in runs.glob("*/record.json")}
    for stage in ("probe", "pretrain"):
        victim = next(path for path in before if path.parent.name.startswith(stage))
        victim.unlink()
        ended = run(sweep)
        assert jobs_started(ended) == 1
        assert f"done {victim.parent.name}" in ended.err
        after = {path: path.stat().st_mtime_ns for path in runs.glob("*/record.json")}
        assert {path for path in before if after[path] != before[path]} == {victim}
        assert read_record(victim).attempts == 2
        before = after


def test_two_sweeps_share_a_pretraining(run, write_sweep, engine) -> None:
    run(write_sweep(SWEEP))
    trained = list(engine.trained)
    ended = run(write_sweep(ONE, "one.yaml"))
    assert ended.status == 0
    assert engine.trained == trained
    assert jobs_started(ended) == 1, "one of the two probes is new"


def test_a_failed_parent_fails_its_own_children_alone(run, runs, write_sweep, engine, command) -> None:
    sweep = write_sweep(SWEEP)
    engine.fails = "pretrain-opera-tiny_vit-e2-s1"
    ended = run(sweep)
    assert ended.status == 1
    found = json.loads(command("status", sweep, "--runs", runs, "--format", "json").out)["jobs"]
    failed = {job["run_id"]: job["reason"] for job in found if job["state"] == "failed"}
    broken = next(run_id for run_id in failed if run_id.startswith("pretrain"))
    child = next(run_id for run_id in failed if run_id.startswith("probe"))
    assert failed == {broken: "ArithmeticError: loss is nan at step 3", child: f"parent {broken} failed"}
    assert [job["state"] for job in found].count("done") == 6
    failure = RunDirectory(runs / broken).read_failure()
    assert failure["attempt"] == 1
    assert "loss is nan at step 3" in failure["traceback"]
    assert not (runs / child / "failure.json").exists()

    again = run(sweep)
    assert (again.status, jobs_started(again)) == (1, 0), "a failed run is not run again unasked"
    assert f"1 failed earlier: opera-bench retry {sweep} --runs {runs}" in again.err

    engine.fails = ""
    retried = run(sweep, verb="retry")
    assert (retried.status, jobs_started(retried)) == (0, 2)
    assert set(states(runs, sweep).values()) == {"done"}


def test_an_interrupted_sweep_goes_on_where_it_stopped(run, runs, write_sweep, engine) -> None:
    sweep = write_sweep(SWEEP)

    def interrupt(directory: Path) -> None:
        if len(engine.trained) == 2:
            raise KeyboardInterrupt

    engine.on_start = interrupt
    ended = run(sweep)
    assert ended.status == 130
    assert "interrupted; run the same command to continue" in ended.err
    found = list(states(runs, sweep).values())
    assert (found.count("done"), found.count("planned")) == (1, 7)
    assert not list(runs.glob("*/failure.json"))
    engine.on_start = lambda directory: None
    assert (run(sweep).status, set(states(runs, sweep).values())) == (0, {"done"})
    attempts = sorted(read_record(path).attempts for path in runs.glob("*/record.json"))
    assert attempts == [1] * 7 + [2]


def test_a_run_held_by_another_process_is_not_started_but_waited_for(run, runs, write_sweep, engine) -> None:
    from bench.worker import run_job as worker

    sweep = write_sweep(ONE)
    run(sweep)
    parent = next(path for path in runs.iterdir() if path.name.startswith("pretrain"))
    (parent / "record.json").unlink()
    with RunDirectory(parent).claim() as free:
        assert free
        ended = run(sweep)
        assert (ended.status, jobs_started(ended)) == (0, 0)
        assert "1 running elsewhere" in ended.err
        late = threading.Thread(target=worker.execute, args=(str(parent), "cpu", 0, {}))
        late.start()
        late.join(1.5)
        assert late.is_alive()
    late.join(60)
    assert read_record(parent / "record.json").attempts == 2
    assert not (parent / "failure.json").exists()


def test_evaluations_wait_for_a_pretraining_that_another_process_computes(run, runs, write_sweep, engine) -> None:
    sweep = write_sweep(ONE)
    run(sweep)
    parent = next(path for path in runs.iterdir() if path.name.startswith("pretrain"))
    record, evaluation = parent / "record.json", next(runs.glob("probe-*/record.json"))
    content = record.read_bytes()
    for path in (record, evaluation):
        path.unlink()
    claimed = threading.Event()

    def compute_elsewhere() -> None:
        log, until = parent / "logs" / "job.log", time.monotonic() + 60
        with RunDirectory(parent).claim():
            claimed.set()
            while "waiting for it" not in log.read_text() and time.monotonic() < until:
                time.sleep(0.05)
            record.write_bytes(content)

    other = threading.Thread(target=compute_elsewhere)
    other.start()
    assert claimed.wait(60)
    ended = run(sweep)
    other.join()
    assert (ended.status, evaluation.exists()) == (0, True), ended.err
    assert "is being computed by another process; waiting for it" in ended.out
    assert record.read_bytes() == content, "what the other process computed is not computed again"


def test_runs_whose_parents_have_an_unknown_state_are_said_to_be_held_back(run, runs, write_sweep, engine) -> None:
    sweep = write_sweep(ONE)
    run(sweep)
    parent = next(path for path in runs.iterdir() if path.name.startswith("pretrain"))
    for path in (parent / "record.json", next(runs.glob("probe-*/record.json"))):
        path.unlink()
    attempt = json.loads((parent / "attempts.jsonl").read_text())
    (parent / "attempts.jsonl").write_text(json.dumps({**attempt, "host": "elsewhere"}) + "\n")
    for name in ("attempts.jsonl", "progress.jsonl"):
        (parent / name).touch()
        os.utime(parent / name, (0, 0))
    ended = run(sweep)
    assert (ended.status, jobs_started(ended)) == (1, 0)
    assert f"1 runs were not started because their parents are not done: opera-bench status {sweep}" in ended.err


def test_a_checkpoint_that_changed_is_refused(run, runs, write_sweep) -> None:
    sweep = write_sweep(ONE)
    run(sweep)
    weights = next(runs.glob("pretrain-*/checkpoints/backbone.safetensors"))
    was = hashlib.sha256(weights.read_bytes()).hexdigest()
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    header = weights.with_suffix(".json")
    now = hashlib.sha256(weights.read_bytes()).hexdigest()
    header.write_text(header.read_text(encoding="utf-8").replace(was, now), encoding="utf-8")
    victim = next(runs.glob("probe-*/record.json"))
    victim.unlink()
    assert run(sweep).status == 1
    assert "is not the recorded" in RunDirectory(victim.parent).read_failure()["error"]


def test_a_metric_that_is_not_a_number_fails_the_run(run, runs, write_sweep, monkeypatch) -> None:
    monkeypatch.setattr("bench.worker.stages.math.isfinite", lambda value: False)
    assert run(write_sweep(ONE)).status == 1
    assert not list(runs.glob("*/record.json"))


def test_seconds_of_earlier_attempts_count(run, runs, write_sweep) -> None:
    sweep = write_sweep(ONE)
    run(sweep)
    directory = RunDirectory(next(runs.glob("pretrain-*")))
    directory.record.unlink()
    first = directory.read_attempts()[0]
    started = datetime.fromisoformat(first["started_at"]).timestamp()
    os.utime(directory.progress, (started + 100, started + 100))
    run(sweep)
    assert 100 <= read_record(directory.record).timing.seconds < 110


@pytest.mark.parametrize("place", ["file", "below a file"])
def test_an_unwritable_runs_directory_is_bad_input(
    place: str, command: Callable[..., Ended], write_sweep: Callable[..., Path], tmp_path: Path
) -> None:
    blocked = tmp_path / "taken"
    blocked.write_text("", encoding="utf-8")
    runs = blocked if place == "file" else blocked / "runs"
    ended = command("run", write_sweep(ONE), "--runs", runs, "--executor", "inline", "--yes")
    assert ended.status == 2
    assert ended.err.splitlines()[-1].startswith(f"error: {runs}: can't hold runs")


DATA = "name: data\npretrain:\n  - {method: moco_v3, backbone: tiny_vit, dataset: cifar10}\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", "dataset cifar10 has no directory; say data: {cifar10: /path/to/cifar10}"),
        ("data: {cifar10: ${NO_SUCH_VARIABLE}}\n", "environment variable NO_SUCH_VARIABLE is not set"),
        ("data: {cifar10: /no/such/place}\n", "/no/such/place is not a directory"),
        ("data: {cifar10: EMPTY}\n", "is empty"),
    ],
)
def test_missing_data_is_said_before_anything_is_written(
    data: str, expected: str, command: Any, write_sweep: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.bench.conftest import RECIPES

    everywhere = RECIPES["pretrain.recipes"].model_copy(update={"applies_to": {}})
    monkeypatch.setitem(RECIPES, "pretrain.recipes", everywhere)
    (tmp_path / "empty").mkdir()
    sweep = write_sweep(DATA + data.replace("EMPTY", str(tmp_path / "empty")))
    ended = command("run", sweep, "--runs", tmp_path / "runs", "--yes")
    assert ended.status == 2
    assert expected in ended.err
    assert not (tmp_path / "runs").exists()
    assert command("plan", sweep, "--runs", tmp_path / "runs").status == 0, "planning needs no data"


def test_dry_run_names_what_would_start_and_writes_nothing(run, runs, write_sweep) -> None:
    ended = run(write_sweep(ONE), "--dry-run")
    assert ended.status == 0
    assert [line.split()[:2] for line in ended.out.splitlines()] == [["would", "start"]] * 3
    assert not runs.exists()


def test_failed_earlier_is_not_hidden_by_a_lost_directory(run, runs, write_sweep, engine) -> None:
    """The disk is the truth: with its directory gone, a failed run has never been."""
    sweep = write_sweep(ONE)
    engine.fails = "moco"
    assert run(sweep).status == 1
    shutil.rmtree(next(runs.glob("pretrain-*")))
    engine.fails = ""
    assert run(sweep).status == 0
    assert {RunState.DONE.value} == set(states(runs, sweep).values())

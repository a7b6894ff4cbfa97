"""Hours used and left. What is right is worked out by hand from the numbers in each test."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bench.hours.cost import RunCost, charged_cost, expected_end, read_costs
from bench.hours.estimate import Unit, Work, estimate, finished_records, unit_of
from bench.plan.graph import PlannedRun
from bench.runs.states import RunStatus, statuses
from bench.show.status import print_planned_hours, print_status
from results.record import read_record, record_text
from results.runs import RunDirectory, RunState
from slurm.job import Charge, JobReport, JobState
from slurm.scheduler.profile import ClusterProfile
from tests.bench.conftest import SWEEP
from tests.conftest import Ended
from tests.results.synthetic import evaluation, make_record, pretraining, run_id_of, write_run

BY_LIMITS = ["the", "profile's", "time", "limits,", "one", "attempt", "each"]
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
A100 = "NVIDIA A100-SXM4-80GB"
EPYC = "AMD EPYC 7763 64-Core Processor"
GPU_CLUSTER = ClusterProfile.model_validate(
    {"name": "gpus", "gpus_per_node": 8, "hours": 10, "stages": {"pretrain": {"nodes": 2}, "knn": {"hours": 0.5}}}
)
PROCESSOR_CLUSTER = ClusterProfile.model_validate({"name": "cpus", "processes_per_node": 4, "hours": 2})


def finish(runs: Path, config: dict, *, device: str = EPYC, world_size: int = 1, day: int = 1, **fields: Any) -> str:
    """A finished run whose record names its machine; ``day`` orders records in time."""
    run_id = write_run(runs, config, **fields)
    path = runs / run_id / "record.json"
    record = read_record(path)
    kind = "cpu" if device == EPYC else "cuda"
    machine = {"device": device, "device_kind": kind, "world_size": world_size}
    timing = {"finished_at": datetime(2025, 2, day, tzinfo=UTC)}
    changed = {
        "machine": record.machine.model_copy(update=machine),
        "timing": record.timing.model_copy(update=timing),
    }
    path.write_text(record_text(record.model_copy(update=changed)), encoding="utf-8")
    return run_id


def planned(config: dict) -> PlannedRun:
    content = {name: part for name, part in config.items() if name != "protocol"}
    return PlannedRun(run_id_of(config), config.get("protocol", "pretrain"), (), content)


def cost(runs: Path, config: dict, profile: ClusterProfile | None = None) -> RunCost:
    (found,) = read_costs(statuses([planned(config)], runs), runs, profile, NOW)
    return found


def attempted(runs: Path, config: dict, attempts: list[dict], heard_at: datetime) -> None:
    """A run that has no record; it runs on another host while it is heard of."""
    place = RunDirectory(runs / write_run(runs, config, state="planned"))
    rows = [{"attempt": n, "host": "elsewhere", "pid": 1, **row} for n, row in enumerate(attempts, start=1)]
    place.attempts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    place.progress.touch()
    for path in (place.attempts, place.progress):
        os.utime(path, (heard_at.timestamp(), heard_at.timestamp()))


@pytest.mark.parametrize(("kind", "unit"), [("cuda", Unit.GPU), ("cpu", Unit.PROCESSOR)])
def test_only_gpus_count_as_gpus(kind: str, unit: Unit) -> None:
    """Whatever the device is called."""
    record = make_record(pretraining(), {})
    machine = record.machine.model_copy(update={"device": "a name of no driver", "device_kind": kind})
    assert unit_of(record.model_copy(update={"machine": machine})) is unit


def test_a_finished_run_took_its_seconds_times_its_processes(tmp_path: Path) -> None:
    config = pretraining()
    finish(tmp_path, config, device=A100, world_size=2, seconds=5400)
    assert cost(tmp_path, config) == RunCost("pretrain", Unit.GPU, used=3.0, left=0.0, seconds_left=0.0)
    on_processor = pretraining(seed=1)
    finish(tmp_path, on_processor, seconds=1800)
    assert (cost(tmp_path, on_processor).unit, cost(tmp_path, on_processor).used) == (Unit.PROCESSOR, 0.5)


def test_pretraining_is_planned_from_images_per_second(tmp_path: Path) -> None:
    # The record's dataset has 100 training images: 0.05 images/s are 2000 s an epoch, whatever the 10 epochs took.
    finish(tmp_path, pretraining(epochs=10), device=A100, world_size=2, images_per_second=0.05, seconds=99_999)
    found = cost(tmp_path, pretraining(epochs=36, seed=1), GPU_CLUSTER)
    assert (found.left, found.seconds_left, found.unit) == (40.0, 72_000.0, Unit.GPU)
    assert found.basis is not None
    assert found.basis.value == "measured rates"


def test_an_evaluation_is_planned_from_seconds_and_epochs(tmp_path: Path) -> None:
    finish(tmp_path, evaluation(pretraining(), "linear", epochs=5), seconds=1000)
    finish(tmp_path, evaluation(pretraining(seed=1), "linear", epochs=10), seconds=4000)
    finish(tmp_path, evaluation(pretraining(seed=2), "linear", epochs=5), seconds=1600)
    # Of 90 epochs: 18,000 s, 36,000 s and 28,800 s.
    assert cost(tmp_path, evaluation(pretraining(seed=3), "linear", epochs=90)).left == 8.0
    finish(tmp_path, evaluation(pretraining(), "knn", epochs=0), seconds=360)
    assert cost(tmp_path, evaluation(pretraining(seed=3), "knn", epochs=0)).left == 0.1


@pytest.mark.parametrize(
    "other",
    [
        pretraining("moco_v3"),
        pretraining(backbone="tiny_resnet"),
        pretraining(dataset="mnist5k"),
        evaluation(pretraining()),
    ],
    ids=["method", "backbone", "dataset", "stage"],
)
def test_a_rate_is_that_of_the_same_work(other: dict, tmp_path: Path) -> None:
    finish(tmp_path, pretraining())
    assert cost(tmp_path, other) == RunCost(other.get("protocol", "pretrain"), used=0.0)


def test_without_a_rate_the_profile_is_taken(tmp_path: Path) -> None:
    found = cost(tmp_path, pretraining(), GPU_CLUSTER)
    assert (found.left, found.seconds_left, found.unit) == (2 * 8 * 10, 36_000, Unit.GPU)
    assert found.basis is not None
    assert found.basis.value == "the profile's time limits, one attempt each"
    assert cost(tmp_path, evaluation(pretraining(), "knn"), GPU_CLUSTER).left == 8 * 0.5
    found = cost(tmp_path, pretraining(), PROCESSOR_CLUSTER)
    assert (found.left, found.unit) == (8.0, Unit.PROCESSOR)


def test_processors_say_nothing_about_gpus(tmp_path: Path) -> None:
    finish(tmp_path, pretraining(), device=EPYC)
    assert cost(tmp_path, pretraining(seed=1), GPU_CLUSTER).left == 160
    finish(tmp_path, pretraining(seed=2), device=A100, images_per_second=1 / 36, day=1)
    # 100 images × 10 epochs at 1/36 image/s on one GPU, although a processor was measured later.
    finish(tmp_path, pretraining(seed=3), device=EPYC, day=9)
    assert cost(tmp_path, pretraining(seed=1), GPU_CLUSTER).left == pytest.approx(10.0)


def test_the_device_of_the_latest_run_counts(tmp_path: Path) -> None:
    finish(tmp_path, pretraining(seed=1), device="NVIDIA GeForce RTX 3090", images_per_second=0.1, day=2)
    finish(tmp_path, pretraining(seed=2), device=A100, world_size=4, images_per_second=1.0, day=3)
    finish(tmp_path, pretraining(seed=3), device="NVIDIA GeForce RTX 3090", images_per_second=0.1, day=1)
    assert cost(tmp_path, pretraining(seed=4)).seconds_left == 1000.0


def test_a_running_run_has_used_all_its_attempts(tmp_path: Path) -> None:
    config = pretraining()
    started = datetime.now(UTC) - timedelta(hours=3)
    rows = [
        {"started_at": (started - timedelta(hours=9)).isoformat(), "seconds_before": 0.0},
        {"started_at": started.isoformat(), "seconds_before": 3600.0},
    ]
    attempted(tmp_path, config, rows, heard_at=datetime.now(UTC))
    found = statuses([planned(config)], tmp_path)
    assert found[0].state is RunState.RUNNING
    (running,) = read_costs(found, tmp_path, GPU_CLUSTER, started + timedelta(hours=3))
    assert (running.used, running.left) == (16 * 4.0, 16 * 6.0)
    (unpriced,) = read_costs(found, tmp_path, None, started + timedelta(hours=3))
    assert (unpriced.used, unpriced.left) == (None, None), "nobody knows on how many of what it runs"


@pytest.mark.parametrize(("state", "left"), [("failed", 0.0), ("unknown", 4.0)])
def test_a_broken_attempt_counts_until_it_was_last_heard_of(state: str, left: float, tmp_path: Path) -> None:
    config = pretraining()
    started = NOW - timedelta(days=2)
    rows = [{"started_at": started.isoformat(), "seconds_before": 1800.0}]
    attempted(tmp_path, config, rows, heard_at=started + timedelta(minutes=30))
    if state == "failed":
        (tmp_path / run_id_of(config) / "failure.json").write_text("{}", encoding="utf-8")
    assert statuses([planned(config)], tmp_path)[0].state.value == state
    found = cost(tmp_path, config, PROCESSOR_CLUSTER)
    assert (found.used, found.left) == (4 * 1.0, left)


def test_an_unreadable_record_is_left_out(tmp_path: Path) -> None:
    run_id = finish(tmp_path, pretraining())
    (tmp_path / run_id / "record.json").write_text("{", encoding="utf-8")
    assert cost(tmp_path, pretraining(seed=1)).left is None


def in_state(state: RunState, number: int) -> RunStatus:
    return RunStatus(PlannedRun(f"pretrain-{number}", "pretrain", (), pretraining()), state, state)


def test_the_end_follows_from_what_runs_at_a_time() -> None:
    hour = 3600.0
    found = [in_state(s, n) for n, s in enumerate([RunState.RUNNING] * 2 + [RunState.WAITING] * 2 + [RunState.DONE])]
    costs = [RunCost("pretrain", Unit.GPU, 0.0, 1.0, seconds) for seconds in (hour, hour, 3 * hour, hour, 0.0)]
    assert expected_end(found, costs, NOW) == NOW + timedelta(hours=3)
    costs[2] = RunCost("pretrain", Unit.GPU, 0.0, 1.0, 9 * hour)
    assert expected_end(found, costs, NOW) == NOW + timedelta(hours=9), "not before its longest run"
    costs[3] = RunCost("pretrain")
    assert expected_end(found, costs, NOW) is None, "a run of unknown length"
    assert expected_end(found[2:], costs[:3], NOW) is None, "nothing runs"


@pytest.mark.parametrize(
    ("state", "charge", "attempts", "unit", "shown"),
    [
        (RunState.DONE, Charge(5.0, True, frozenset({"7", "9"})), ["7", "9"], Unit.GPU, (5.0, Unit.GPU, True)),
        (RunState.FAILED, Charge(5.0, False, frozenset({"7"})), [], None, (5.0, Unit.PROCESSOR, True)),
        (RunState.DONE, Charge(5.0, False, frozenset({"7"})), ["7"], Unit.GPU, (1.0, Unit.GPU, False)),
        (RunState.DONE, Charge(5.0, True, frozenset({"7"})), ["7", None], Unit.GPU, (1.0, Unit.GPU, False)),
        (RunState.DONE, Charge(5.0, True, frozenset({"7"})), ["6", "7"], Unit.GPU, (1.0, Unit.GPU, False)),
        (RunState.RUNNING, Charge(5.0, True, frozenset({"7"})), ["7"], Unit.GPU, (1.0, Unit.GPU, False)),
        (RunState.DONE, None, ["7"], Unit.GPU, (1.0, Unit.GPU, False)),
    ],
    ids=["all", "before it began", "no GPUs counted", "also elsewhere", "also another job", "not ended", "no answer"],
)
def test_hours_are_charged_where_the_scheduler_says_all_of_them(
    state: RunState,
    charge: Charge | None,
    attempts: list[str | None],
    unit: Unit | None,
    shown: tuple[float, Unit, bool],
) -> None:
    computed = RunCost("pretrain", unit, 1.0, 0.0, 0.0)
    status = replace(in_state(state, 0), report=JobReport(JobState.DONE, charge=charge))
    found = charged_cost(computed, status, [{"scheduler_job_id": number} for number in attempts])
    assert (found.used, found.unit, found.is_charged) == shown
    assert found.as_json()["hours_used_are"] == ("charged" if shown[2] else "computing")


def test_status_shows_hours_by_stage_and_in_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = [RunState.DONE, RunState.RUNNING, RunState.WAITING]
    found = [in_state(state, number) for number, state in enumerate(states)]
    found.append(RunStatus(PlannedRun("knn-0", "knn", (), pretraining()), RunState.WAITING, RunState.WAITING))
    costs = [
        RunCost("pretrain", Unit.GPU, 1234.5, 0.0, 0.0, is_charged=True),
        RunCost("pretrain", Unit.GPU, 2.0, 8.0, 3600.0),
        RunCost("pretrain", used=0.0),
        RunCost("knn", Unit.PROCESSOR, 0.0, 0.25, 900.0),
    ]
    print_status(found, costs, None, tmp_path, NOW)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][4:] == [
        *("GPU-hours", "charged", "GPU-hours", "computing"),
        *("GPU-hours", "left", "processor-hours", "left"),
    ]
    assert lines[1:4] == [
        ["pretrain", "1", "1", "1", "1,234.5", "2.00", ">8.00", "–"],
        ["knn", "1", "–", "–", "–", "–", "–", "0.25"],
        ["total", "2", "1", "1", "1,234.5", "2.00", ">8.00", ">0.25"],
    ]
    assert not any("expected" in line for line in lines), "one run is of unknown length"


def test_plan_says_where_hours_come_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish(tmp_path, pretraining(), device=A100, world_size=8, images_per_second=1 / 36)
    wanted = [pretraining(), pretraining(seed=1), pretraining("moco_v3"), evaluation(pretraining(), "knn")]
    found = statuses([planned(config) for config in wanted], tmp_path)
    print_planned_hours(read_costs(found, tmp_path, GPU_CLUSTER, NOW))
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["stage", "to", "run", "GPU-hours", "from"],
        ["pretrain", "2", "240.0", "measured", "rates", "and", *BY_LIMITS],
        ["knn", "1", "4.00", *BY_LIMITS],
        ["total", "3", "244.0", "measured", "rates", "and", *BY_LIMITS],
    ]


def test_whole_runs_as_they_took_as_others_took_and_as_the_profile_says(tmp_path: Path) -> None:
    """Finished in 7,200 s on 8 GPUs; so long would another seed take; 10 h of 16 GPUs; nothing without one."""
    finish(tmp_path, pretraining(), device=A100, world_size=8, seconds=7200.0, images_per_second=None)
    runs = [planned(config) for config in (pretraining(), pretraining(seed=1), pretraining("moco_v3"))]
    work = Work.of(finished_records(tmp_path).values())
    with_profile, without = ([estimate(run, work, profile) for run in runs] for profile in (GPU_CLUSTER, None))
    assert [found and found.hours for found in with_profile] == pytest.approx([16, 16, 160])
    assert [found is not None for found in without] == [True, True, False]


def test_the_commands_take_the_profile_that_is_named(
    command: Callable[..., Ended], write_sweep: Callable[..., Path], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    sweep = write_sweep(SWEEP)
    assert "GPU-hours" not in command("plan", sweep, "--runs", runs).out, "nothing is known"
    # 4 pretrainings × 4 nodes × 8 GPUs × 48 h, and 4 probes × 8 GPUs × 24 h.
    shown = command("plan", sweep, "--runs", runs, "--cluster", "a100-multinode").out.splitlines()
    assert shown[-2].split() == ["total", "8", "6,912.0", *BY_LIMITS]
    assert "cluster a100-multinode: pretrain: 4 nodes with 8 GPUs each, 48 h; probe: 8 GPUs, 24 h" in shown
    named = write_sweep(SWEEP + "cluster: {name: mine, gpus_per_node: 2, hours: 3}\n")
    jobs = json.loads(command("status", named, "--runs", runs, "--format", "json").out)["jobs"]
    assert jobs == json.loads(command("plan", named, "--runs", runs, "--format", "json").out)["jobs"]
    hours = {key: value for key, value in jobs[0].items() if key.startswith("hours")}
    assert hours == {
        "hours_used": 0.0,
        "hours_used_are": "computing",
        "hours_left": 6.0,
        "hours_unit": "GPU-hours",
        "hours_left_from": "the profile's time limits, one attempt each",
    }
    assert ["total", "4", "4", "48.0"] in [
        line.split() for line in command("status", named, "--runs", runs).out.splitlines()
    ]

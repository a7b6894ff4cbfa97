"""What callers rely on in every executor: the shipped ones and a stranger's. Stand-ins answer for SLURM's commands."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.sweep.source import Source, load_yaml
from slurm.job import Code, Executor, InputError, Job, JobState, Request
from slurm.lookup import executor_folder, executor_names, find_executor, open_executors
from tests.robustness.standin import StandIn
from tests.slurm import jobs

STRANGERS = Path(__file__).parents[1] / "third_party" / "shapes_ssl"
OPTIONS: dict[str, dict[str, Any]] = {
    "inline": {},
    "local": {"workers": 1},
    "slurm": {"name": "site", "hours": 2},
    "later": {},
}


@pytest.fixture(params=OPTIONS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kind(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Executor]:
    commands = StandIn(tmp_path / "bin")
    scancel = f"#!/bin/sh\nfor number; do sed -i \"/^$number|/d\" '{commands.queue}'; done\n"
    (commands.folder / "scancel").write_text(scancel)
    monkeypatch.setenv("PATH", commands.environment["PATH"])
    if name in executor_names():
        return find_executor(name)
    monkeypatch.setenv("PYTHONPATH", f"{STRANGERS}{os.pathsep}{STRANGERS.parents[2]}")
    monkeypatch.syspath_prepend(str(STRANGERS))
    found: type[Executor] = importlib.import_module(f"shapes_ssl.{name}").LaterExecutor
    return found


@pytest.fixture
def folder(name: str, tmp_path: Path) -> Path:
    return executor_folder(name, tmp_path / "rüns of 'one' sweep")


@pytest.fixture
def executor(kind: type[Executor], name: str, folder: Path) -> Iterator[Executor]:
    made = kind.create(kind.Options.model_validate(OPTIONS[name]), folder, "a sweep: 'one'", Code(("slurm",)))
    yield made
    made.cancel(["parent", "child"])


@pytest.fixture
def submitted(tmp_path: Path) -> list[Job]:
    parent, child = (Job(i, f"{jobs.NAME}:do_nothing", {}, tmp_path / f"{i}.log") for i in ("parent", "child"))
    return [parent, Job(child.id, child.function, {}, child.log_path, ("parent",))]


def test_every_executor_is_tested_here() -> None:
    assert set(executor_names()) <= OPTIONS.keys()


def test_before_a_submission_there_is_nothing_to_tell(
    executor: Executor, submitted: list[Job], folder: Path, name: str
) -> None:
    shown = executor.preview(submitted)
    assert len(shown) == (2 if type(executor).returns_at_once else 0)
    executor.settle()
    executor.cancel(["unknown"])
    assert (executor.states(), executor.logs("parent")) == ({}, ())
    assert not folder.exists(), "a preview leaves nothing"
    assert open_executors(folder.parent) == []


def test_who_returns_at_once_is_found_again(executor: Executor, submitted: list[Job], folder: Path) -> None:
    handles = executor.submit(submitted)
    opened = type(executor).open(folder)
    assert (opened is not None) is type(executor).returns_at_once
    if opened is None:
        executor.wait(handles)
        assert {handle.state for handle in handles} == {JobState.DONE}
        return
    reports = opened.states(fresh=True)
    assert {job_id: report.number for job_id, report in reports.items()} == {h.job.id: h.number for h in handles}
    assert all(report.is_active and report.submitted_at > 0 and report.reason for report in reports.values())
    assert executor.title in executor.describe(handles)
    with opened.locked():
        opened.cancel(["child", "unknown"])
    after = opened.states(fresh=True)
    assert (after["parent"].is_active, after["child"].is_active) == (True, False)
    opened.cancel(["child"])


@pytest.mark.parametrize("name", ["slurm"])
def test_a_job_whose_parent_slurm_has_not_can_not_run(executor: Executor, submitted: list[Job]) -> None:
    (child,) = executor.submit(submitted[1:])
    assert (child.state, child.number) == (JobState.FAILED, None)
    assert child.reason == "not submitted: their parent runs were not submitted either"


@pytest.mark.parametrize("name", ["slurm"])
def test_nothing_counts_as_cancelled_while_the_scheduler_does_not_answer(
    executor: Executor, submitted: list[Job], tmp_path: Path
) -> None:
    executor.submit(submitted)
    squeue = tmp_path / "bin" / "squeue"
    answer = squeue.read_text()
    squeue.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(InputError, match="SLURM does not answer, and may hold some of these jobs"):
        executor.cancel(["child"])
    squeue.write_text(answer)
    assert executor.states(fresh=True)["child"].is_active


@pytest.mark.parametrize(
    ("name", "asked", "summary"),
    [
        ("inline", {"cpus": 8, "sweep_cluster": "a100"}, ""),
        ("local", {"workers": 3, "cpus": 8}, "3 at a time"),
        ("local", {"cpus": 8, "sweep_cluster": "a100"}, "8 at a time"),
        ("slurm", {"cluster": "a100", "sweep_cluster": "rtx3090"}, "cluster a100"),
        ("slurm", {"sweep_cluster": Source("sweep.yaml", {"name": "own"}, {})}, "cluster own"),
        ("later", {"sweep_cluster": "a100"}, ""),
    ],
)
def test_options_are_read_from_the_command_and_the_sweep(
    kind: type[Executor], name: str, asked: dict[str, Any], summary: str
) -> None:
    options = kind.Options.read(Request(load_yaml, **asked))
    assert options.summary() == summary
    assert (options.resources("knn") is None) is (name != "slurm")
    assert ("a100" in options.profile_names()) is (name == "slurm")


@pytest.mark.parametrize(
    ("name", "asked", "refusal"),
    [
        *(
            (name, {"cluster": "a100"}, "--cluster a100: goes with --executor slurm")
            for name in OPTIONS
            if name != "slurm"
        ),
        ("slurm", {}, "--executor slurm needs a cluster"),
        ("inline", {"workers": 1}, "--workers: goes with --executor local; inline runs one"),
        ("slurm", {"cluster": "a100", "workers": 2}, "--workers: goes with --executor local"),
        ("slurm", {"cluster": "a100", "stages": ("lineal",)}, "unknown stage 'knn'; allowed: lineal"),
    ],
)
def test_options_for_another_executor_are_refused(kind: type[Executor], asked: dict[str, Any], refusal: str) -> None:
    with pytest.raises(InputError, match=refusal):
        kind.Options.read(Request(load_yaml, **asked))

"""``cancel`` of runs on this machine: a job with a process group of its own ends, any other process is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.launch.jobs import write_configs
from bench.plan.graph import plan_sweep
from bench.sweep.load import load_sweep
from bench.worker.attempt import begin_attempt
from results.runs import RunDirectory, RunState
from tests.bench.conftest import SWEEP

LAUNCH = """\
import sys
from pathlib import Path

from slurm.job import Code, Job
from slurm.lookup import find_executor

name, directory = sys.argv[1:]
kind = find_executor(name)
options = kind.Options.model_validate({"workers": 1} if name == "local" else {})
executor = kind.create(options, Path(directory), "", Code())
job = Job("one", "tests.bench.test_cancelling:compute", {"run_directory": directory}, Path(directory) / "log")
executor.wait(executor.submit([job]))
print("the command goes on")
"""


def compute(run_directory: str) -> None:
    """Stand in for a worker that computes a run for a minute."""
    run = RunDirectory(Path(run_directory))
    with run.claim():
        begin_attempt(run)
        run.progress.touch()
        time.sleep(60)


@pytest.fixture
def run(write_sweep: Callable[..., Path], tmp_path: Path) -> RunDirectory:
    planned = plan_sweep(load_sweep(str(write_sweep(SWEEP)), ())).runs[0]
    write_configs([planned], tmp_path / "runs")
    return RunDirectory(tmp_path / "runs" / planned.run_id)


@pytest.fixture
def launch(run: RunDirectory) -> Any:
    started: list[subprocess.Popen[str]] = []

    def start(executor: str, **how: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", LAUNCH, executor, str(run.path)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **how))
        until = time.monotonic() + 120
        while not (run.progress.exists() and run.read_attempts()) and time.monotonic() < until:
            time.sleep(0.02)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "how", [{"process_group": 0}, {"start_new_session": True}, {}], ids=["shell", "setsid", "child"]
)
def test_an_inline_run_is_refused_whoever_leads_its_group(how: dict[str, Any], launch: Any, run: Any, command) -> None:
    process = launch("inline", **how)
    ended = command("cancel", run.run_id, "--runs", run.path.parent, "--yes")
    assert ended.status == 2, ended.err
    assert f"runs within process {process.pid}, which may compute more; interrupt it there with Ctrl-C" in ended.err
    assert process.poll() is None, "the command and its other runs go on"
    assert not run.cancelled.exists()
    assert run.unrecorded_state() is RunState.RUNNING


def test_a_job_of_the_local_executor_ends_and_its_command_goes_on(launch: Any, run: RunDirectory, command) -> None:
    process = launch("local", process_group=0)
    (attempt,) = run.read_attempts()
    assert attempt["pid"] not in (process.pid, os.getpid())
    ended = command("cancel", run.run_id, "--runs", run.path.parent, "--yes")
    assert (ended.status, "1 runs cancelled" in ended.err) == (0, True), ended.err
    assert process.communicate(timeout=60)[0] == "the command goes on\n"
    assert run.unrecorded_state() is RunState.CANCELLED


def test_an_attempt_without_the_note_is_refused(launch: Any, run: RunDirectory, command) -> None:
    """Another release wrote it."""
    process = launch("local", start_new_session=True)
    text = run.attempts.read_text(encoding="utf-8")
    run.attempts.write_text(text.replace('"leads_job_group": true', '"other": 1'), encoding="utf-8")
    assert command("cancel", run.run_id, "--runs", run.path.parent, "--yes").status == 2
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGTERM)

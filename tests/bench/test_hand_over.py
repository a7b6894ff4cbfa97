"""What a submission forgets: how runs ended before it, and nothing that has happened since."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.launch.options import Launch
from bench.launch.run_sweep import earlier_ends, hand_over
from results.runs import RunDirectory
from slurm.executors.slurm import SlurmExecutor
from slurm.job import Handle, Job
from tests.bench.conftest import SWEEP
from tests.robustness.standin import StandIn


def failed(directory: Path, run_id: str, text: str) -> RunDirectory:
    run = RunDirectory(directory / run_id)
    run.path.mkdir(exist_ok=True)
    run.failure.write_text(text)
    return run


def test_only_ends_from_before_it_are_forgotten(tmp_path: Path) -> None:
    launch = Launch(tmp_path, "slurm")
    retried, quick, held_back = (failed(tmp_path, name, "earlier") for name in ("retried", "quick", "held-back"))
    places = [retried.path.name, quick.path.name, held_back.path.name]
    before = earlier_ends(places, launch)
    # The job that was submitted first fails while the others are being submitted.
    quick.failure.unlink()
    failed(tmp_path, "quick", "since then")
    os.utime(quick.failure, ns=(1, 1))

    handles = [Handle(Job(name, "m:f", {}, tmp_path / "log")) for name in places]
    for handle in handles[:2]:
        handle.number = "7"
    hand_over(handles, before, SlurmExecutor(tmp_path), "sweep.yaml", "opera-bench run sweep.yaml")
    assert not retried.failure.exists()
    assert quick.failure.read_text() == "since then"
    assert held_back.failure.read_text() == "earlier"


@pytest.fixture
def submit(command, write_sweep: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Run the small sweep on a queue that has room for so many jobs; it has 4 pretrainings and 4 evaluations."""
    monkeypatch.setenv("PATH", StandIn(tmp_path / "bin").environment["PATH"])

    def run(room: int, verb: str = "run"):
        sweep = write_sweep(SWEEP + f"cluster: {{name: site, hours: 2, max_submitted_jobs: {room}}}\n")
        return command(verb, sweep, "--runs", tmp_path / "runs", "--executor", "slurm", "--yes")

    return run


@pytest.mark.parametrize("verb", ["run", "retry"])
def test_runs_without_room_in_the_queue_come_with_the_same_command(verb: str, submit: Callable, tmp_path: Path) -> None:
    ended = submit(6, verb)
    assert ended.status == 0, ended.err
    assert "6 runs are with SLURM" in ended.err
    again = f"opera-bench {verb} {tmp_path / 'small.yaml'} --runs {tmp_path / 'runs'} --executor slurm"
    assert (
        f"2 runs are held back: the queue has no room (MaxSubmitJobs); submit the rest later with: {again}\n"
        in ended.err
    )
    ended = submit(8, verb)
    assert (ended.status, "2 runs are with SLURM" in ended.err, "held back" in ended.err) == (0, True, False), ended.err


def test_runs_whose_parents_were_not_submitted_give_status_1(
    submit: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parents end unnoticed between the plan and the submission."""
    take = SlurmExecutor.submit
    monkeypatch.setattr(SlurmExecutor, "submit", lambda self, jobs: take(self, [job for job in jobs if job.parents]))
    ended = submit(8)
    assert ended.status == 1
    advice = f"see: opera-bench status {tmp_path / 'small.yaml'} --runs {tmp_path / 'runs'}"
    assert f"4 runs are not submitted: their parent runs were not submitted either; {advice}\n" in ended.err

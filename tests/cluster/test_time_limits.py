"""Time limits that are too short for a run: it goes on where it was, to the same numbers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cluster.scheduler import ask, service, wait_until
from tests.cluster.sweeps import LONG, Sweep, assert_done_in, held_up, one_pretraining, under_way, uninterrupted

pytestmark = [pytest.mark.usefixtures("slurm_cluster"), pytest.mark.slow]

ONE_MINUTE = """{name: short, memory_gb_per_node: 2, seconds_before_limit: 30,
                stages: {pretrain: {hours: 0.0167, sbatch: {hold: true}}}}"""
"""The shortest limit that SLURM knows. It looks at limits every half minute, and warns at the last look that is early
enough: at the first one after the start."""
SECONDS_HELD_UP = 45
"""After the start: the warning has come, the end of the minute has not."""


def test_a_warning_before_the_time_limit_saves_requeues_and_goes_on_exactly(tmp_path: Path, calm_runs: Path) -> None:
    sweep = under_way(tmp_path, one_pretraining(LONG))
    ask("scancel", "--signal=USR2", sweep.slurm_ids()[0])
    assert_done_in(sweep, attempts=2)
    assert "back into the queue" in (sweep.directory("pretrain").logs / "job.log").read_text()
    assert sweep.metrics() == uninterrupted(calm_runs, sweep).metrics()


@pytest.mark.usefixtures("breakable_cluster")
def test_a_limit_of_one_minute_takes_several_attempts_to_the_same_numbers(tmp_path: Path, calm_runs: Path) -> None:
    """The process is held up until the limit is near, so that no machine is too fast."""
    sweep = Sweep(tmp_path, one_pretraining(LONG, cluster=ONE_MINUTE))
    sweep.submit()
    # It looks for the first time half a minute after its start. A warning in a job's own first moments would end it.
    service("stop", "slurmctld")
    service("start", "slurmctld")
    time.sleep(12)
    ask("scontrol", "release", sweep.slurm_ids()[0])
    released = time.monotonic()
    sweep.wait_until_training()
    with held_up(sweep):
        time.sleep(max(released + SECONDS_HELD_UP - time.monotonic(), 0))
    sweep.wait_until_done()
    attempts = sweep.record("pretrain").attempts
    assert attempts > 1
    assert_done_in(sweep, attempts)
    log = (sweep.directory("pretrain").logs / "job.log").read_text()
    assert log.count("back into the queue") == attempts - 1
    assert sweep.metrics() == uninterrupted(calm_runs, sweep).metrics()


def test_without_requeueing_the_end_is_called_a_time_limit(tmp_path: Path) -> None:
    profile = "{name: once, memory_gb_per_node: 2, hours: 1, requeue: false}"
    sweep = under_way(tmp_path, one_pretraining(LONG, cluster=profile))
    (number,) = sweep.slurm_ids()[:1]
    log = sweep.directory("pretrain").logs / "job.log"
    ask("scancel", "--signal=USR2", number)
    wait_until(lambda: "the training state is saved" in log.read_text(), 60, "the warning was heeded")
    ask("scontrol", "update", f"JobId={number}", "TimeLimit=1")
    sweep.wait(lambda states: states == {"failed": 2}, "SLURM has ended the job at its limit")
    reasons = [str(job["reason"]) for job in sweep.jobs()]
    assert reasons[0] == f"SLURM job {number}: TIMEOUT"

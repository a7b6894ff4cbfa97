"""What goes wrong on clusters, done to a real one. Every story ends with every run done, and done once."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest

from results.runs import RunDirectory
from tests.cluster.scheduler import ask, service, wait_until
from tests.cluster.sweeps import LONG, Sweep, assert_done_in, attempts_in_log, held_up, one_pretraining, under_way

pytestmark = [
    pytest.mark.usefixtures("slurm_cluster"),
    pytest.mark.slow,
]


def test_a_process_that_is_killed_fails_its_run_and_retry_goes_on(tmp_path: Path) -> None:
    sweep = under_way(tmp_path, one_pretraining(LONG))
    os.kill(int(sweep.directory("pretrain").read_attempts()[-1]["pid"]), signal.SIGKILL)
    sweep.wait(lambda states: states == {"failed": 2}, "the run and the one that waits for it have failed")
    assert "FAILED" in sweep("status")
    sweep("retry", "--failed", "--executor", "slurm", "--yes")
    assert_done_in(sweep, attempts=2)


def test_a_job_that_failed_and_is_requeued_by_hand_is_not_submitted_again(tmp_path: Path) -> None:
    sweep = under_way(tmp_path, one_pretraining(LONG))
    (number, *_) = sweep.slurm_ids()
    os.kill(int(sweep.directory("pretrain").read_attempts()[-1]["pid"]), signal.SIGKILL)
    sweep.wait(lambda states: states == {"failed": 2}, "the run and the one that waits for it have failed")
    ask("scontrol", "requeue", number)
    sweep.wait(lambda states: "failed" not in states, "the job is in the queue again, or runs")
    sweep("retry", "--executor", "slurm", "--yes")
    assert_done_in(sweep, attempts=2)
    assert sorted(sweep.submitted().values()) == [1, 2], "the evaluation was dropped, and only that is submitted again"


def test_an_administrator_requeues_the_job(tmp_path: Path) -> None:
    sweep = under_way(tmp_path, one_pretraining(LONG))
    ask("scontrol", "requeue", sweep.slurm_ids()[0])
    assert_done_in(sweep, attempts=2)


@pytest.mark.usefixtures("breakable_cluster")
def test_a_node_is_lost(tmp_path: Path) -> None:
    cluster = "{name: n, memory_gb_per_node: 2, sbatch: {nodelist: n4}}"
    sweep = under_way(tmp_path, one_pretraining(LONG, cluster=cluster))
    service("kill", "slurmd-n4")
    service("start", "slurmd-n4")
    assert_done_in(sweep, attempts=2)


@pytest.mark.usefixtures("breakable_cluster")
def test_one_of_two_nodes_is_lost(tmp_path: Path) -> None:
    """Its peer on the other node must not take that for a failure of the job."""
    cluster = "{name: n, nodes: 2, memory_gb_per_node: 2, sbatch: {nodelist: 'n3,n4'}}"
    sweep = under_way(tmp_path, one_pretraining(LONG, cluster=cluster, evaluate="[]"))
    service("kill", "slurmd-n4")
    try:
        sweep.wait(lambda states: states == {"waiting": 1}, "slurmctld has missed the node, and requeued the job")
    finally:
        service("start", "slurmd-n4")
    sweep.wait_until_done()
    record = sweep.record("pretrain")
    assert (record.attempts, record.machine.world_size) == (2, 2)


@pytest.mark.usefixtures("breakable_cluster")
def test_a_node_is_set_down(tmp_path: Path) -> None:
    sweep = under_way(
        tmp_path, one_pretraining(LONG, cluster="{name: n, memory_gb_per_node: 2, sbatch: {nodelist: n3}}")
    )
    ask("scontrol", "update", "nodename=n3", "state=down", "reason=test")
    try:
        sweep.wait(lambda states: states == {"waiting": 2}, "the job is back in the queue")
    finally:
        # SLURM refuses to resume a node that is up: its daemon, which nobody stopped, may have registered it again.
        subprocess.run(["scontrol", "update", "nodename=n3", "state=resume"], check=False)
    assert_done_in(sweep, attempts=2)


@pytest.mark.usefixtures("breakable_cluster")
def test_the_controller_goes_away_and_comes_back(tmp_path: Path) -> None:
    sweep = under_way(tmp_path, one_pretraining(LONG))
    with held_up(sweep):
        service("stop", "slurmctld")
        try:
            (sweep.runs / ".slurm" / "queue.json").unlink(missing_ok=True)
            states = {job["stage"]: job["state"] for job in sweep.jobs()}
            assert states == {"pretrain": "running", "knn": "unknown"}, "the disk tells of one, nobody of the other"
        finally:
            service("start", "slurmctld")
    assert_done_in(sweep, attempts=1)


@pytest.mark.usefixtures("breakable_cluster")
def test_the_controller_is_killed_and_comes_back(tmp_path: Path) -> None:
    sweep = under_way(tmp_path, one_pretraining(LONG))
    service("kill", "slurmctld")
    service("start", "slurmctld")
    assert_done_in(sweep, attempts=1)
    assert set(sweep.submitted().values()) == {1}


@pytest.mark.usefixtures("breakable_cluster")
def test_a_warning_that_comes_while_the_controller_is_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    sweep = under_way(tmp_path, one_pretraining(LONG))
    run = sweep.directory("pretrain")
    service("stop", "slurmctld")
    try:
        os.kill(int(run.read_attempts()[-1]["pid"]), signal.SIGUSR2)
        log = run.logs / "job.log"
        asked = "back into the queue: scontrol requeue"
        wait_until(lambda: log.read_text().partition(asked)[2].count("\n") > 1, 90, "the job has asked in vain")
    finally:
        service("start", "slurmctld")
    assert_done_in(sweep, attempts=2)


@pytest.mark.usefixtures("breakable_cluster")
def test_accounting_is_down_all_the_time(tmp_path: Path) -> None:
    service("stop", "slurmdbd")
    try:
        sweep = Sweep(tmp_path, one_pretraining(1))
        sweep.submit()
        assert_done_in(sweep, attempts=1)
    finally:
        service("start", "slurmdbd")


def test_what_was_dropped_with_a_lost_parent_starts_when_another_sweep_has_it_back(tmp_path: Path) -> None:
    theirs = one_pretraining(LONG)
    ours = Sweep(tmp_path, theirs.replace("name: faults", "name: other").replace("[knn]", "[{linear: {epochs: 1}}]"))
    sweep = under_way(tmp_path, theirs)
    ours.submit()
    os.kill(int(sweep.directory("pretrain").read_attempts()[-1]["pid"]), signal.SIGKILL)
    ours.wait(lambda states: states == {"failed": 2}, "the parent has failed, and what waits for it with it")
    Sweep(tmp_path, theirs)("retry", "--executor", "slurm", "--yes")
    assert "starting 1 jobs" in Sweep(tmp_path, ours.text).submit()
    sweep.wait_until_done()
    assert set(Sweep(tmp_path, ours.text).states()) == {"done"}
    assert sorted(sweep.submitted().values()) == [2, 2, 2]


def test_scancel_by_hand_then_retry(tmp_path: Path) -> None:
    text = one_pretraining(
        1, evaluate="[knn, {linear: {epochs: 1}}]", cluster="{name: h, memory_gb_per_node: 2, sbatch: {hold: true}}"
    )
    sweep = Sweep(tmp_path, text)
    sweep.submit()
    pretraining, evaluations = sweep.slurm_ids()
    ask("scancel", f"{evaluations}_1")
    sweep.wait(lambda states: states == {"waiting": 2, "cancelled": 1}, "half of the array is cancelled")
    for job in (pretraining, f"{evaluations}_0"):
        ask("scontrol", "release", job)
    unheld = Sweep(tmp_path, text.replace("{name: h, memory_gb_per_node: 2, sbatch: {hold: true}}", "test"))
    unheld("retry", "--executor", "slurm", "--yes")
    assert_done_in(unheld, attempts=1)
    assert sorted(unheld.submitted().values()) == [1, 1, 2]


def test_half_of_a_running_array_is_cancelled_by_hand_then_retry(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, one_pretraining(LONG).replace("method: opera", "method: [opera, moco_v3]"))
    sweep.submit()
    sweep.wait_until_training(2)
    array = sweep.slurm_ids()[0]
    ask("scancel", f"{array}_1")
    sweep.wait(lambda states: states["cancelled"] == 1, "half of the array is cancelled")
    sweep("retry", "--executor", "slurm", "--yes")
    sweep.wait_until_done()
    submitted = sweep.submitted()
    attempts = {run_id: record.attempts for run_id, record in sweep.records().items()}
    again = {run_id for run_id in attempts if "moco_v3" in run_id}
    assert {run_id for run_id, times in submitted.items() if times == 2} == again
    assert {run_id for run_id, times in submitted.items() if times == 1} == set(attempts) - again
    assert sorted(attempts.values()) == [1, 1, 1, 2]
    for run_id, number in attempts.items():
        assert attempts_in_log(RunDirectory(sweep.runs / run_id)) == number


def test_a_full_disk_is_a_clear_failure_and_nothing_is_corrupt(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("mounting a small file system takes root")
    sweep = Sweep(tmp_path, one_pretraining(2))
    sweep.runs.mkdir()
    ask("mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(sweep.runs))
    try:
        (sweep.runs / "filler").write_bytes(b"\0" * 2 * 1024**2)
        sweep.submit()
        sweep.wait(lambda states: states == {"planned": 1, "waiting": 1}, "the job has ended for want of room")
        # Torch's writer of archives and the system's calls say it in different words.
        reason = str(sweep.jobs()[0]["reason"])
        assert "is the disk full?" in reason or os.strerror(errno.ENOSPC) in reason
        assert not list(sweep.runs.glob("*/record.json"))
        (sweep.runs / "filler").unlink()
        ask("mount", "-o", "remount,size=200m", str(sweep.runs))
        sweep.submit()
        sweep.wait_until_done()
    finally:
        subprocess.run(["umount", "--lazy", str(sweep.runs)], check=False)

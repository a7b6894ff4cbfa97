"""The test cluster is what the tests on it take it for."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.cluster.scheduler import ask, has_ended, service, state, submit, wait_until

pytestmark = pytest.mark.usefixtures("slurm_cluster")


def test_a_dependency_holds_a_job_until_its_parent_has_succeeded(tmp_path: Path) -> None:
    done = tmp_path / "done"
    parent = submit(f"sleep 1; touch '{done}'", log=tmp_path / "parent.log")
    child = submit(f"test -e '{done}'", f"--dependency=afterok:{parent}", log=tmp_path / "child.log")
    broken = submit("false", log=tmp_path / "broken.log")
    never = submit("true", f"--dependency=afterok:{broken}", "--kill-on-invalid-dep=yes", log=tmp_path / "never.log")

    wait_until(lambda: has_ended(f"{child},{never}"), 60, "all four jobs end")

    assert [state(job) for job in (parent, child, broken, never)] == ["COMPLETED", "COMPLETED", "FAILED", "CANCELLED"]


@pytest.mark.usefixtures("breakable_cluster")
def test_gpus_limit_how_many_tasks_of_an_array_run_at_once(tmp_path: Path) -> None:
    """Five tasks of two GPUs on one node of four: two at a time, on different GPUs."""
    script = """
        echo "$(date +%s.%N) 1 $CUDA_VISIBLE_DEVICES"
        sleep 1
        echo "$(date +%s.%N) -1 $CUDA_VISIBLE_DEVICES"
    """
    array = submit(script, "--array=0-4", "--nodelist=n1", "--gpus-per-node=2", log=tmp_path / "%a.log")

    wait_until(lambda: has_ended(array), 60, "the array ends")

    assert state(array).split() == ["COMPLETED"] * 5
    changes = sorted(line.split() for log in tmp_path.glob("*.log") for line in log.read_text().splitlines())
    assert {gpus for _, _, gpus in changes} == {"0,1", "2,3"}
    assert most_at_once(changes) == 2
    assert most_at_once([change for change in changes if change[2] == "0,1"]) == 1


def most_at_once(changes: list[list[str]]) -> int:
    """The largest sum that the steps, +1 for a start and -1 for an end, come to on the way."""
    return max(itertools.accumulate(int(step) for _, step, _ in changes))


@pytest.mark.slow
@pytest.mark.usefixtures("breakable_cluster")
def test_jobs_go_on_while_slurmctld_and_the_accounting_are_stopped(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    job = submit("echo started; sleep 3; echo done", log=log)
    wait_until(lambda: log.exists() and "started" in log.read_text(), 30, "the job starts")

    service("stop", "slurmdbd")
    service("stop", "slurmctld")
    try:
        wait_until(lambda: "done" in log.read_text(), 30, "the job ends without them")
    finally:
        service("start", "slurmctld")
        service("start", "slurmdbd")

    wait_until(lambda: state(job) == "COMPLETED", 60, "slurmctld hears that the job has ended")
    wait_until(lambda: "COMPLETED" in ask("sacct", "-X", "-n", "-o", "state", "-j", job), 60, "so does the accounting")

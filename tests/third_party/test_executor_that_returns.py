"""Commands on a stranger's executor whose jobs outlive the command that submitted them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.third_party.conftest import SHIPPED, Site

SWEEP = SHIPPED.replace("evaluate: [knn]", "evaluate: [{knn: {temperature: 0.1}}, {knn: {temperature: 0.2}}]")


@pytest.fixture
def later(site: Site) -> Iterator[Site]:
    yield site
    for path in (site.work / "runs" / ".later").glob("*.json"):
        state, number, _ = json.loads(path.read_text())
        if state in ("waiting", "running"):
            os.killpg(int(number), signal.SIGKILL)


def jobs(site: Site) -> Counter[str]:
    """States of the jobs, as the executor noted them."""
    return Counter(json.loads(path.read_text())[0] for path in (site.work / "runs" / ".later").glob("*.json"))


def states(site: Site) -> dict[str, str]:
    found = json.loads(site("status", "SWEEP", "--runs", "runs", "--format", "json", sweep=SWEEP).stdout)["jobs"]
    return {job["run_id"]: job["state"] for job in found}


def wait_for(site: Site, **expected: int) -> None:
    until = time.monotonic() + 300
    while jobs(site) != expected:
        assert time.monotonic() < until, jobs(site)
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_later_commands_find_what_another_command_submitted(later: Site) -> None:
    run = ("run", "SWEEP", "--executor", "later", "--runs", "runs", "--yes")
    shown = later(*run, "--dry-run", sweep=SWEEP)
    assert (shown.returncode, shown.stdout.count("\nlater: ")) == (0, 3), shown.stderr
    assert not (later.work / "runs").exists()
    submitted = later(*run, sweep=SWEEP)
    assert submitted.returncode == 0, submitted.stderr
    assert "3 runs are with Later: opera-bench status" in submitted.stderr
    assert "3 in the queue; starting 0 jobs" in later(*run, sweep=SWEEP).stderr, "the disk alone knows nothing of them"

    told = later("status", "--runs", "runs")
    assert "3 pending in Later: go" in told.stdout
    assert "queued; follow with:" in told.stdout
    evaluation = next(path.name for path in (later.work / "runs").glob("knn-*"))
    kept = later("logs", evaluation, "--runs", "runs")
    assert (kept.stdout, "log of the job kept by Later" in kept.stderr) == ("waits for go\n", True)
    cancelled = later("cancel", evaluation, "--runs", "runs", "--yes")
    assert cancelled.returncode == 0, cancelled.stderr
    assert jobs(later) == {"waiting": 2, "cancelled": 1}

    (later.work / "runs" / ".later" / "go").touch()
    wait_for(later, done=2, cancelled=1)
    assert Counter(states(later).values()) == {"done": 2, "cancelled": 1}
    retried = later("retry", "SWEEP", "--executor", "later", "--runs", "runs", "--yes", sweep=SWEEP)
    assert "1 runs are with Later" in retried.stderr, retried.stderr
    assert set(jobs(later)) <= {"done", "waiting", "running"}
    records = [json.loads(path.read_text()) for path in later.work.glob("runs/*/record.json")]
    numbers = {record["machine"]["scheduler_job_id"] for record in records}
    assert (len(numbers), None in numbers) == (len(records), False)


def test_plan_prints_what_it_would_submit(site: Site) -> None:
    shown = site("plan", "SWEEP", "--format", "later", sweep=SWEEP)
    assert (shown.returncode, shown.stdout.count("\nlater: ")) == (0, 3), shown.stderr
    refused = site("plan", "SWEEP", "--format", "latr", sweep=SWEEP)
    assert (refused.returncode, "did you mean 'later'?" in refused.stderr) == (2, True), refused.stderr


def test_an_executor_that_lacks_methods_is_refused(site: Site) -> None:
    run = ("run", "SWEEP", "--executor", "later", "--runs", "runs")
    for old, new, lacks in (
        ("    def open(", "    def closed(", "it has no open"),
        ("    def wait(", "    def waits(", "it has no open, wait"),
        ("class LaterExecutor(Executor)", "class LaterExecutor", "it is no subclass of slurm.job.Executor"),
    ):
        site.edit("later.py", old, new)
        refused = site(*run)
        what = f"executor 'later' of shapes-ssl (shapes_ssl.later:LaterExecutor) can't be used: {lacks}\n"
        assert (refused.returncode, what in refused.stderr) == (2, True), refused.stderr

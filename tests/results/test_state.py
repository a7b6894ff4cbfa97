"""Whom to believe about a run: its directory, its executor or its parents."""

from __future__ import annotations

import pytest

from results.runs import RunState
from results.state import OnDisk, Standing, standing
from slurm.job import JobReport, JobState

ELSEWHERE = OnDisk((), RunState.RUNNING, has_attempts=True, job_id="7_0", began_at=100.0)


def own(on_disk: OnDisk, told: JobReport) -> RunState:
    return standing({"run": on_disk}, {"run": told})["run"].own_state


def test_a_parent_that_only_the_scheduler_saw_fail_fails_its_dropped_child() -> None:
    runs = {"child": OnDisk(("parent",), RunState.PLANNED), "parent": OnDisk((), RunState.PLANNED)}
    told = {
        "parent": JobReport(JobState.FAILED, "SLURM job 7: OUT_OF_MEMORY", "7"),
        "child": JobReport(JobState.CANCELLED, "SLURM job 8 was cancelled", "8", submission=1),
    }
    assert standing(runs, told) == {
        "parent": Standing(RunState.FAILED, RunState.FAILED, "SLURM job 7: OUT_OF_MEMORY"),
        "child": Standing(RunState.PLANNED, RunState.FAILED, "parent parent failed"),
    }


@pytest.mark.parametrize(
    ("number", "state", "shown"),
    [
        ("7_0", JobState.CANCELLED, RunState.CANCELLED),
        ("7_0", JobState.FAILED, RunState.FAILED),
        ("7_0", JobState.RUNNING, RunState.RUNNING),
        ("7_0", JobState.DONE, RunState.RUNNING),
        ("8_0", JobState.CANCELLED, RunState.RUNNING),
    ],
)
def test_a_heartbeat_does_not_outlive_the_job_that_the_scheduler_saw_end(
    number: str, state: JobState, shown: RunState
) -> None:
    assert own(ELSEWHERE, JobReport(state, None, number)) is shown


def test_a_job_that_was_sent_back_since_it_began_waits() -> None:
    assert own(ELSEWHERE, JobReport(JobState.WAITING, None, "7_0", asked_at=101.0)) is RunState.WAITING
    assert own(ELSEWHERE, JobReport(JobState.WAITING, None, "7_0", asked_at=99.0)) is RunState.RUNNING


def test_a_failed_run_whose_job_is_back_in_the_queue_waits() -> None:
    failed = OnDisk((), RunState.FAILED, "lost", has_attempts=True, job_id="7_0", failed_at=100.0)
    assert own(failed, JobReport(JobState.WAITING, None, "7_0", asked_at=101.0)) is RunState.WAITING
    assert own(failed, JobReport(JobState.WAITING, None, "7_0", asked_at=99.0)) is RunState.FAILED
    assert own(failed, JobReport(JobState.RUNNING, None, "7_0", asked_at=101.0)) is RunState.FAILED


def test_on_this_host_the_lock_is_believed() -> None:
    here = OnDisk((), RunState.RUNNING, is_here=True, has_attempts=True, job_id="7_0")
    assert own(here, JobReport(JobState.CANCELLED, None, "7_0")) is RunState.RUNNING


def test_a_job_that_ended_well_without_a_record_has_failed() -> None:
    reports = {"run": JobReport(JobState.DONE, "SLURM job 7", "7")}
    found = standing({"run": OnDisk((), RunState.PLANNED)}, reports)["run"]
    assert (found.state, found.reason) == (RunState.FAILED, "SLURM job 7 ended well but left no record")
    local = OnDisk((), RunState.PLANNED, has_attempts=True)
    assert own(local, JobReport(JobState.DONE, "SLURM job 7", "7")) is RunState.PLANNED


def test_a_run_interrupted_by_a_full_disk_has_not_failed() -> None:
    full = OnDisk((), RunState.PLANNED, "interrupted", is_interrupted=True, has_attempts=True, job_id="7")
    assert own(full, JobReport(JobState.FAILED, "SLURM job 7: FAILED", "7")) is RunState.PLANNED
    assert own(full, JobReport(JobState.FAILED, "SLURM job 8: OUT_OF_MEMORY", "8")) is RunState.FAILED


def test_a_chain_longer_than_the_stack_and_a_circle_end() -> None:
    chain = {f"r{n}": OnDisk((f"r{n + 1}",), RunState.PLANNED) for n in range(5000)}
    chain["r5000"] = OnDisk((), RunState.DAMAGED, "bad")
    assert standing(chain, {})["r0"].state is RunState.FAILED
    circle = {"a": OnDisk(("b",), RunState.PLANNED), "b": OnDisk(("a",), RunState.PLANNED)}
    assert {each.state for each in standing(circle, {}).values()} == {RunState.WAITING}


@pytest.mark.parametrize(
    ("wrote", "shown"),
    [
        (("weights", "header"), RunState.DONE),
        (("others", "header"), RunState.DAMAGED),
        (("weights", "other"), RunState.DAMAGED),
        (None, RunState.DONE),
    ],
)
def test_an_evaluation_belongs_to_the_checkpoint_that_its_parent_has(
    wrote: tuple[str, str] | None, shown: RunState
) -> None:
    parent = OnDisk((), RunState.DONE if wrote else RunState.PLANNED, written=wrote)
    child = OnDisk(("parent",), RunState.DONE, evaluated={"parent": ("weights", "header")})
    found = standing({"child": child, "parent": parent}, {})["child"]
    assert (found.own_state, found.state) == (shown, shown)
    assert (found.reason is not None) is (shown is RunState.DAMAGED)

"""Validation of submissions, and who may run when, against a brute-force reading of the dependencies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm.graph import JobGraph, check_jobs
from slurm.job import Handle, InputError, Job, JobState
from slurm.lookup import executor_names, find_executor


def job(job_id: str, *parents: str, function: str = "package.module:name", **arguments: Any) -> Job:
    return Job(job_id, function, arguments, Path("log"), parents)


def test_executors_are_found_by_name() -> None:
    assert set(executor_names()) == {"inline", "local", "slurm"}
    for name in executor_names():
        assert callable(find_executor(name))


def test_an_unknown_executor_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"unknown executor 'locla'; did you mean 'local'\? allowed: .*inline"):
        find_executor("locla")


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ([job("a"), job("b"), job("a")], "more than once: a"),
        ([job("a", "b"), job("b", "c"), job("c", "a"), job("d")], r"circle: (a|b|c) → "),
        ([job("a", "a")], "circle: a → a"),
        ([job("a", function="package.module.name")], r"job a: function must read package\.module:name"),
        ([job("a", function="module:")], "job a: function"),
        ([job("a", function="some module:name")], "job a: function"),
        ([job("a", path=Path("x"))], "job a: arguments must be JSON values"),
        ([job("a", values={1, 2})], "job a: arguments"),
    ],
)
def test_what_can_never_run_is_refused(jobs: list[Job], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_jobs(jobs)
    graph = JobGraph()
    with pytest.raises(InputError):
        graph.add(jobs)
    assert graph.next_ready() is None, "a refused submission leaves nothing behind"


def test_an_id_can_be_submitted_again_only_after_its_job_ended() -> None:
    graph = JobGraph()
    (first,) = graph.add([job("a")])
    with pytest.raises(InputError, match="job a is already waiting"):
        graph.add([job("a")])
    graph.change(first, JobState.FAILED, "reason")
    (again,) = graph.add([job("a")])
    assert graph.next_ready() is again


def test_parents_of_earlier_submissions_are_waited_for_and_unknown_ones_are_taken_as_done() -> None:
    graph = JobGraph()
    (parent,) = graph.add([job("parent")])
    graph.change(parent, JobState.RUNNING)
    (child,) = graph.add([job("child", "parent", "unknown")])
    assert graph.next_ready() is None
    graph.change(parent, JobState.DONE)
    assert graph.next_ready() is child


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Job], set[str]]:
    """Acyclic jobs in shuffled order, and those that will fail."""
    count = draw(st.integers(1, 12))
    jobs = [
        job(f"j{i}", *(f"j{k}" for k in draw(st.sets(st.integers(0, i - 1), max_size=3)))) if i else job("j0")
        for i in range(count)
    ]
    failing = draw(st.sets(st.sampled_from([j.id for j in jobs]), max_size=count // 2))
    return draw(st.permutations(jobs)), failing


@given(graphs(), st.randoms(use_true_random=False), st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_any_graph_ends_as_its_dependencies_say(drawn: tuple[list[Job], set[str]], random: Any, width: int) -> None:
    jobs, failing = drawn
    parents = {j.id: j.parents for j in jobs}

    def is_lost(job_id: str) -> bool:
        return any(parent in failing or is_lost(parent) for parent in parents[job_id])

    graph = JobGraph()
    handles = graph.add(jobs)
    running: list[Handle] = []
    ran: list[str] = []
    while True:
        while len(running) < width and (handle := graph.next_ready()) is not None:
            assert all(parent in ran and parent not in failing for parent in handle.job.parents)
            graph.change(handle, JobState.RUNNING)
            running.append(handle)
        if not running:
            break
        handle = running.pop(random.randrange(len(running)))
        ran.append(handle.job.id)
        graph.change(handle, JobState.FAILED if handle.job.id in failing else JobState.DONE)

    assert sorted(ran) == sorted(j.id for j in jobs if not is_lost(j.id))
    for handle in handles:
        expected = JobState.FAILED if handle.job.id in failing or is_lost(handle.job.id) else JobState.DONE
        assert handle.state is expected
        if is_lost(handle.job.id):
            assert handle.reason in {f"parent {parent} failed" for parent in handle.job.parents}


def test_jobs_become_ready_in_the_order_they_were_submitted() -> None:
    graph = JobGraph()
    graph.add([job("late", "z"), job("z"), job("a"), job("m")])
    order = []
    while (handle := graph.next_ready()) is not None:
        order.append(handle.job.id)
        graph.change(handle, JobState.DONE)
    assert order == ["z", "late", "a", "m"]

"""One behaviour wherever jobs run: what holds for the inline and the local executor alike."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from slurm.job import Executor, Handle, InputError, Job, JobState
from slurm.lookup import find_executor
from tests.slurm import jobs


@pytest.fixture(params=["inline", "local"])
def executor(request: pytest.FixtureRequest) -> Executor:
    options = {"workers": 2} if request.param == "local" else {}
    return find_executor(request.param)(**options)


def make(tmp_path: Path, job_id: str, function: str, *parents: str, **arguments: Any) -> Job:
    return Job(job_id, f"{jobs.NAME}:{function}", arguments, tmp_path / "logs" / f"{job_id}.log", parents)


def run(executor: Executor, submitted: Sequence[Job]) -> dict[str, Handle]:
    handles = executor.submit(submitted)
    assert [handle.job for handle in handles] == list(submitted)
    executor.wait(handles)
    return {handle.job.id: handle for handle in handles}


def test_a_diamond_runs_in_dependency_order(executor: Executor, tmp_path: Path) -> None:
    spans = {name: tmp_path / name for name in ("bottom", "right", "left", "top")}
    parents = {"bottom": ("left", "right"), "left": ("top",), "right": ("top",), "top": ()}
    handles = run(
        executor, [make(tmp_path, n, "span", *parents[n], path=str(p), seconds=0.05) for n, p in spans.items()]
    )
    assert {handle.state for handle in handles.values()} == {JobState.DONE}
    times = {name: json.loads(path.read_text()) for name, path in spans.items()}
    for child, named in parents.items():
        for parent in named:
            assert times[parent]["end"] <= times[child]["start"]


def test_a_failure_fails_its_descendants_and_nothing_else(executor: Executor, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    handles = run(
        executor,
        [
            make(tmp_path, "grandchild", "append", "child", path=str(trace), text="grandchild"),
            make(tmp_path, "bad", "fail", message="no such number: 7"),
            make(tmp_path, "child", "append", "bad", path=str(trace), text="child"),
            make(tmp_path, "good", "append", path=str(trace), text="good"),
            make(tmp_path, "after_good", "append", "good", path=str(trace), text="after_good"),
        ],
    )
    assert {name: (handle.state.value, handle.reason) for name, handle in handles.items()} == {
        "bad": ("failed", "ValueError: no such number: 7"),
        "child": ("failed", "parent bad failed"),
        "grandchild": ("failed", "parent child failed"),
        "good": ("done", None),
        "after_good": ("done", None),
    }
    assert trace.read_text().split() == ["good", "after_good"]
    log = handles["bad"].job.log_path.read_text()
    assert log.startswith("about to fail\n")
    assert "Traceback (most recent call last)" in log
    assert log.rstrip().endswith("ValueError: no such number: 7")


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        ("leave", {"status": 3}, "SystemExit: 3"),
        ("leave", {"status": 0}, "SystemExit: 0"),
        ("nowhere", {}, "AttributeError: module 'tests.slurm.jobs' has no attribute 'nowhere'"),
        ("do_nothing", {"x": 1}, "TypeError: do_nothing() got an unexpected keyword argument 'x'"),
        ("fail", {"message": ""}, "ValueError"),
    ],
)
def test_reasons(executor: Executor, tmp_path: Path, function: str, arguments: dict[str, Any], reason: str) -> None:
    handle = run(executor, [make(tmp_path, "job", function, **arguments)])["job"]
    assert (handle.state, handle.reason) == (JobState.FAILED, reason)


def test_a_module_that_is_not_there_fails_its_job(executor: Executor, tmp_path: Path) -> None:
    handle = run(executor, [Job("job", "no.such.module:f", {}, tmp_path / "log")])["job"]
    assert (handle.state, handle.reason) == (JobState.FAILED, "ModuleNotFoundError: No module named 'no'")


@pytest.mark.parametrize("name", ["with space", 'it\'s "quoted"', "ünï → 漢字", "new\nline", "$HOME;*"])
def test_logs_are_whole_whatever_their_path(executor: Executor, tmp_path: Path, name: str) -> None:
    log = tmp_path / name / f"{name}.log"
    handles = executor.submit([Job(name, f"{jobs.NAME}:speak", {}, log)])
    executor.wait(handles)
    assert handles[0].state is JobState.DONE
    assert log.read_text(encoding="utf-8") == "to stdout: ünï → 漢字\nto stderr\n"


def test_logs_are_appended_to(executor: Executor, tmp_path: Path) -> None:
    for _ in range(2):
        run(executor, [make(tmp_path, "again", "speak")])
    assert (tmp_path / "logs" / "again.log").read_text(encoding="utf-8").count("to stderr") == 2


def test_a_log_that_cannot_be_written_fails_its_job(executor: Executor, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    handle = run(executor, [Job("job", f"{jobs.NAME}:do_nothing", {}, tmp_path / "file" / "log")])["job"]
    assert handle.state is JobState.FAILED
    assert handle.reason is not None
    assert str(tmp_path / "file") in handle.reason


def test_every_change_is_reported_once_and_in_order(executor: Executor, tmp_path: Path) -> None:
    changes: list[tuple[str, str]] = []
    handles = executor.submit(
        [
            make(tmp_path, "a", "do_nothing"),
            make(tmp_path, "b", "fail", "a", message="x"),
            make(tmp_path, "c", "do_nothing", "b"),
        ]
    )
    assert {handle.state for handle in handles} == {JobState.WAITING}
    executor.wait(handles, lambda handle: changes.append((handle.job.id, handle.state.value)))
    expected = [("a", "running"), ("a", "done"), ("b", "running"), ("b", "failed"), ("c", "failed")]
    assert changes == expected
    executor.wait(handles, lambda handle: changes.append((handle.job.id, handle.state.value)))
    assert changes == expected, "waiting for what has ended does nothing"


def test_jobs_can_be_added_while_others_run(executor: Executor, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    added: list[Handle] = []

    def add_child(handle: Handle) -> None:
        if handle.job.id == "parent" and handle.state is JobState.RUNNING:
            added.extend(executor.submit([make(tmp_path, "child", "append", "parent", path=str(trace), text="child")]))

    handles = executor.submit([make(tmp_path, "parent", "append", path=str(trace), text="parent")])
    executor.wait(handles, add_child)
    executor.wait(added)
    assert trace.read_text().split() == ["parent", "child"]


def test_cancelling_what_waits_cancels_its_descendants(executor: Executor, tmp_path: Path) -> None:
    first, second, third = executor.submit(
        [
            make(tmp_path, "first", "do_nothing"),
            make(tmp_path, "second", "do_nothing", "first"),
            make(tmp_path, "third", "do_nothing", "second"),
        ]
    )
    executor.cancel(["second"])
    executor.wait([first, second, third])
    assert [(h.state.value, h.reason) for h in (first, second, third)] == [
        ("done", None),
        ("cancelled", "cancelled"),
        ("cancelled", "parent second cancelled"),
    ]
    executor.cancel(["first"])
    assert first.state is JobState.DONE, "what is done stays done"


def test_handles_of_another_executor_are_refused(executor: Executor, tmp_path: Path) -> None:
    handles = find_executor("inline")().submit([make(tmp_path, "job", "do_nothing")])
    with pytest.raises(InputError, match="not submitted to this executor: job"):
        executor.wait(handles)


def test_an_inline_interruption_cancels_the_running_job_alone(tmp_path: Path) -> None:
    executor = find_executor("inline")()
    handles = executor.submit(
        [make(tmp_path, "running", "raise_keyboard_interrupt"), make(tmp_path, "next", "do_nothing")]
    )
    with pytest.raises(KeyboardInterrupt):
        executor.wait(handles)
    assert [handle.state for handle in handles] == [JobState.CANCELLED, JobState.WAITING]
    executor.wait(handles)
    assert handles[1].state is JobState.DONE


def test_an_inline_job_is_also_seen_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(find_executor("inline")(), [make(tmp_path, "job", "speak")])
    captured = capsys.readouterr()
    assert captured.out == "to stdout: ünï → 漢字\n"
    assert captured.err == "to stderr\n"


def test_jobs_see_no_process_group_of_the_shell(
    executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "a"}
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANKING", "kept")
    path = tmp_path / "surroundings"
    run(executor, [make(tmp_path, "job", "describe_surroundings", path=str(path), modules=[])])
    seen = json.loads(path.read_text())["environment"]
    assert not foreign.keys() & seen.keys()
    assert seen["RANKING"] == "kept"
    assert {name: os.environ[name] for name in foreign} == foreign, "the submitting process keeps its own"

"""Ctrl-C and kill -9 of the submitting process, on real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm.executors.local import LocalExecutor
from slurm.job import Job, JobState
from tests.slurm import jobs

ROOT = Path(__file__).parents[2]
SCRIPT = textwrap.dedent(
    f"""
    import json, sys
    sys.path.insert(0, {str(ROOT)!r})
    from pathlib import Path
    import slurm.executors.local
    from slurm.job import Job
    from slurm.lookup import find_executor

    stubborn, slurm.executors.local.GRACE_SECONDS = json.loads(sys.argv[1]), float(sys.argv[2])
    names = ["one", "two", "three"]
    executor = find_executor("local")(workers=2)
    handles = executor.submit([
        Job(n, "tests.slurm.jobs:hang", {{"path": n, "stubborn": stubborn}}, Path(n + ".log")) for n in names
    ] + [Job("child", "tests.slurm.jobs:do_nothing", {{}}, Path("child.log"), ("one",))])
    reported = []
    try:
        executor.wait(handles, lambda handle: reported.append([handle.job.id, handle.state]))
    except KeyboardInterrupt:
        print(json.dumps({{"states": [h.state for h in handles], "reported": reported}}))
        sys.exit(130)
    """
)


class Submitter:
    """A process that waits for two hanging jobs, in a process group of its own as under a terminal."""

    def __init__(self, directory: Path, stubborn: bool = False, grace_seconds: float = 5.0) -> None:
        script = directory / "script.py"
        script.write_text(SCRIPT, encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, str(script), json.dumps(stubborn), str(grace_seconds)],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        files = [directory / "one", directory / "two"]
        self.all_hang = jobs.eventually(lambda: all(file.exists() for file in files))
        assert self.all_hang, self.process.stderr
        self.pids = [int(pid) for file in files for pid in file.read_text().split()]
        assert all(jobs.is_alive(pid) for pid in self.pids)

    def interrupt(self) -> None:
        """What a terminal does on Ctrl-C: SIGINT to the whole foreground process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def survivors(self) -> list[int]:
        return [pid for pid in self.pids if jobs.is_alive(pid)]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for file in (tmp_path / "one", tmp_path / "two"):
        for pid in file.read_text().split():
            if jobs.is_alive(int(pid)):
                os.kill(int(pid), signal.SIGKILL)


def test_ctrl_c_ends_jobs_and_what_they_started(directory: Path) -> None:
    submitter = Submitter(directory)
    submitter.interrupt()
    out, err = submitter.process.communicate(timeout=10)
    assert (submitter.process.returncode, err) == (130, "")
    assert submitter.survivors() == []
    told = json.loads(out)
    assert told["states"] == ["cancelled", "cancelled", "waiting", "waiting"]
    assert told["reported"] == [
        ["one", "running"],
        ["two", "running"],
        ["one", "cancelled"],
        ["two", "cancelled"],
    ]
    assert not (directory / "three").exists()
    for name in ("one", "two"):
        assert (directory / f"{name}.log").read_text() == "", "jobs do not receive the terminal's SIGINT"


def test_jobs_that_ignore_sigterm_are_killed_after_the_grace_period(directory: Path) -> None:
    submitter = Submitter(directory, stubborn=True, grace_seconds=0.3)
    submitter.interrupt()
    out, _ = submitter.process.communicate(timeout=10)
    assert submitter.survivors() == []
    assert json.loads(out)["states"][:2] == ["cancelled", "cancelled"]


def test_a_second_ctrl_c_cuts_the_grace_period_short(directory: Path) -> None:
    submitter = Submitter(directory, stubborn=True, grace_seconds=600)
    submitter.interrupt()
    assert not jobs.eventually(lambda: submitter.process.poll() is not None, seconds=0.5), "grace is being given"
    submitter.interrupt()
    out, _ = submitter.process.communicate(timeout=10)
    assert submitter.survivors() == []
    assert json.loads(out)["states"][:2] == ["cancelled", "cancelled"]


def test_jobs_end_with_a_submitting_process_that_is_killed(directory: Path) -> None:
    submitter = Submitter(directory, stubborn=True)
    submitter.process.kill()
    submitter.process.communicate(timeout=10)  # returns once nobody holds its output: the fork server is gone too
    assert jobs.eventually(lambda: submitter.survivors() == [])


def test_an_interruption_at_any_moment_leaves_no_process_behind(tmp_path: Path) -> None:
    executor = LocalExecutor(workers=3)
    for attempt in range(8):
        names = [f"{attempt}-{number}" for number in range(6)]
        submitted = [
            Job(name, f"{jobs.NAME}:append", {"path": str(tmp_path / name), "text": name}, tmp_path / f"{name}.log")
            for name in names
        ]
        handles = executor.submit(submitted)
        started: list[int] = []
        timer = threading.Timer(0.002 + attempt * 0.02, os.kill, (os.getpid(), signal.SIGINT))
        with contextlib.suppress(KeyboardInterrupt):
            try:
                timer.start()
                executor.wait(handles, lambda handle: started.append(int(handle.number or 0)))  # noqa: B023
            finally:
                timer.join()  # raises here if the jobs were faster
        assert not any(jobs.is_alive(pid) for pid in started if pid)
        assert {handle.state for handle in handles} <= {JobState.DONE, JobState.CANCELLED, JobState.WAITING}
        executor.wait(handles)
        for handle, name in zip(handles, names, strict=True):
            assert handle.state in (JobState.DONE, JobState.CANCELLED)
            if handle.state is JobState.DONE:
                assert set((tmp_path / name).read_text().split()) == {name}, "done means done"


def test_ctrl_c_while_modules_are_preloaded_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import pathlib, time\npathlib.Path('loading').touch()\ntime.sleep(0.5)\n")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.append({str(ROOT)!r})
            from pathlib import Path
            from slurm.job import Job
            from slurm.lookup import find_executor
            executor = find_executor("local")(1, preload=["slow"])
            handles = executor.submit([Job("j", "tests.slurm.jobs:speak", {{}}, Path("log"))])
            try:
                executor.wait(handles)
            except KeyboardInterrupt:
                sys.exit(130)
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert jobs.eventually((tmp_path / "loading").exists)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "")
    assert not (tmp_path / "log").exists(), "no job starts after the interruption"

"""The local executor's processes: how many, how isolated, how they end, what they find imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest

from slurm.executors.local import LocalExecutor
from slurm.job import JOB_GROUP, Handle, InputError, Job, JobState
from tests.slurm import jobs

ROOT = Path(__file__).parents[2]


def make(tmp_path: Path, job_id: str, function: str, *parents: str, **arguments: Any) -> Job:
    return Job(job_id, f"{jobs.NAME}:{function}", arguments, tmp_path / f"{job_id}.log", parents)


def run_one(tmp_path: Path, function: str, **arguments: Any) -> Handle:
    executor = LocalExecutor(workers=1)
    handles = executor.submit([make(tmp_path, "job", function, **arguments)])
    executor.wait(handles)
    return handles[0]


def run_script(tmp_path: Path, body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script without an ``if __name__`` guard, as a user might write it."""
    script = tmp_path / "script with space.py"
    path = [str(tmp_path / "modules"), str(ROOT)]
    imports = "from pathlib import Path; from slurm.job import InputError, Job; from slurm.lookup import find_executor"
    head = f"import sys; sys.path[:0] = {path}; {imports}; JOBS = {jobs.NAME!r}\n"
    script.write_text(head + textwrap.dedent(body), encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        input="typed by the user\n",
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={**os.environ, **environment},
    )


def add_module(tmp_path: Path, name: str, source: str) -> None:
    """A module that scripts find because they extended ``sys.path`` themselves."""
    (tmp_path / "modules").mkdir(exist_ok=True)
    (tmp_path / "modules" / f"{name}.py").write_text(source, encoding="utf-8")


@pytest.mark.parametrize("workers", [1, 3])
def test_never_more_than_the_workers_and_no_worker_idle(tmp_path: Path, workers: int) -> None:
    executor = LocalExecutor(workers=workers)
    paths = [tmp_path / f"span{i}" for i in range(7)]
    handles = executor.submit(
        [make(tmp_path, p.name, "span", path=str(p), seconds=0.1 * (1 + i % 2)) for i, p in enumerate(paths)]
    )
    executor.wait(handles)
    spans = [json.loads(path.read_text()) for path in paths]
    overlaps = [sum(s["start"] <= t["start"] < s["end"] for s in spans) for t in spans]
    assert max(overlaps) == workers
    assert len({s["pid"] for s in spans}) == len(spans), "one process a job"
    assert os.getpid() not in {s["pid"] for s in spans}
    starts = [s["start"] for s in spans]
    if workers == 1:
        assert starts == sorted(starts), "in the order of submission"


def test_many_small_jobs_all_run(tmp_path: Path) -> None:
    executor = LocalExecutor(workers=2)
    handles = executor.submit([make(tmp_path, f"j{i}", "do_nothing") for i in range(200)])
    executor.wait(handles)
    assert {handle.state for handle in handles} == {JobState.DONE}


def test_output_below_python_is_in_the_log_and_input_is_empty(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        executor = find_executor("local")(1)
        executor.wait(executor.submit([Job("j", JOBS + ":speak_below_python", {}, Path("log"))]))
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "log").read_text() == ("written to descriptor 1\nwritten to descriptor 2\nfrom a subprocess\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_job_that_dies_by_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    handle = run_one(tmp_path, "die", number=number)
    assert handle.state is JobState.FAILED
    cause = ", perhaps out of memory" if number is signal.SIGKILL else ""
    assert handle.reason == f"killed by signal {number.value} ({number.name}){cause}"
    log = handle.job.log_path.read_text()
    assert log.startswith("printed before the end\n")
    assert ("Segmentation fault" in log) == (number is signal.SIGSEGV)


def test_a_job_that_leaves_without_a_word(tmp_path: Path) -> None:
    assert run_one(tmp_path, "drop_out", status=7).reason == "ended with exit status 7"


def test_kill_9_fails_a_job_and_its_descendants_while_others_go_on(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def kill_once_hanging(handle: Handle) -> None:
        if handle.job.id == "victim" and handle.state is JobState.RUNNING:
            assert jobs.eventually(pids.exists)
            os.kill(int(handle.number), signal.SIGKILL)

    executor = LocalExecutor(workers=2)
    handles = executor.submit(
        [
            make(tmp_path, "victim", "hang", path=str(pids)),
            make(tmp_path, "child", "do_nothing", "victim"),
            make(tmp_path, "other", "span", path=str(tmp_path / "span"), seconds=0.2),
            make(tmp_path, "after_other", "do_nothing", "other"),
        ]
    )
    executor.wait(handles, kill_once_hanging)
    assert [(handle.state.value, handle.reason) for handle in handles] == [
        ("failed", "killed by signal 9 (SIGKILL), perhaps out of memory"),
        ("failed", "parent victim failed"),
        ("done", None),
        ("done", None),
    ]
    grandchild = int(pids.read_text().split()[1])
    assert jobs.eventually(lambda: not jobs.is_alive(grandchild)), "what a killed job had started ends too"


def test_what_a_job_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    assert run_one(tmp_path, "leave_orphan", path=str(tmp_path / "pid")).state is JobState.DONE
    orphan = int((tmp_path / "pid").read_text())
    assert jobs.eventually(lambda: not jobs.is_alive(orphan))


def test_a_job_sees_the_submitters_surroundings_in_a_session_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_VARIABLE", "as of now: ünï")
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    run_one(tmp_path, "describe_surroundings", path="seen", modules=[])
    assert dict(os.environ) == before, "starting jobs leaves this process's environment alone"
    seen = json.loads((tmp_path / "seen").read_text())
    assert seen["directory"] == str(tmp_path)
    assert seen["session"] == seen["pid"]
    own = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", JOB_GROUP: str(seen["pid"])}
    assert seen["environment"] == {**before, **own}


def test_cancelling_ends_a_running_job_and_all_it_started(tmp_path: Path) -> None:
    executor = LocalExecutor(workers=2)
    pids = tmp_path / "pids"
    running, child, other = executor.submit(
        [
            make(tmp_path, "running", "hang", path=str(pids)),
            make(tmp_path, "child", "do_nothing", "running"),
            make(tmp_path, "other", "do_nothing"),
        ]
    )

    def cancel(handle: Handle) -> None:
        if handle is running and handle.state is JobState.RUNNING:
            assert jobs.eventually(pids.exists)
            executor.cancel([running.job.id])

    executor.wait([running, child, other], cancel)
    assert [handle.state.value for handle in (running, child, other)] == ["cancelled", "cancelled", "done"]
    assert not any(jobs.is_alive(int(pid)) for pid in pids.read_text().split())


def test_a_job_that_ends_before_its_start_is_noticed_runs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait_late(*arguments: Any) -> Any:
        assert jobs.eventually((tmp_path / "trace").exists)
        time.sleep(0.5)  # until its end is reported, too
        return wait(*arguments)

    monkeypatch.setattr("slurm._fork_server.wait", wait_late)
    handle = run_one(tmp_path, "append", path=str(tmp_path / "trace"), text="x")
    assert (handle.state, (tmp_path / "trace").read_text()) == (JobState.DONE, "x\n")


def test_a_job_that_has_ended_beside_another_one_can_be_cancelled_by_its_callback(tmp_path: Path) -> None:
    executor = LocalExecutor(workers=2)
    first, second = executor.submit([make(tmp_path, name, "do_nothing") for name in ("first", "second")])

    def wait_for_both_and_cancel(handle: Handle) -> None:
        if handle is second and handle.state is JobState.RUNNING:
            assert jobs.eventually(lambda: not any(Path("/proc", pid).exists() for pid in pids()))
            time.sleep(0.3)  # until both ends are reported
        if handle.state is JobState.DONE:
            executor.cancel([first.job.id, second.job.id])

    def pids() -> list[str]:
        return [handle.number or "" for handle in (first, second)]

    executor.wait([first, second], wait_for_both_and_cancel)
    assert [handle.state.value for handle in (first, second)] == ["done", "done"], "what has ended keeps its outcome"


def test_preloaded_modules_are_imported_once_and_never_in_the_submitting_process(tmp_path: Path) -> None:
    add_module(tmp_path, "heavy", "import os\nIMPORTED_IN = os.getpid()\n")
    add_module(tmp_path, "broken", "1 / 0\n")
    done = run_script(
        tmp_path,
        f"""
        print("main module runs")
        executor = find_executor("local")(2, preload=["broken", "heavy"], threads_per_worker=3)
        handles = executor.submit([
            Job(f"j{{i}}", JOBS + ":describe_surroundings", {{"path": f"seen{{i}}", "modules": ["heavy"]}},
                      Path(f"log{{i}}"))
            for i in range(2)
        ])
        executor.wait(handles)
        assert [handle.state for handle in handles] == ["done", "done"], handles
        assert "heavy" not in sys.modules
        assert sys.modules["__main__"].__file__ == {str(tmp_path / "script with space.py")!r}
        """,
        OMP_NUM_THREADS="8",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "main module runs\n", "")
    first, second = (json.loads((tmp_path / f"seen{i}").read_text()) for i in range(2))
    assert first["modules"] == second["modules"] == ["heavy"], "imported before the job began"
    assert first["import_pids"] == second["import_pids"]
    assert first["import_pids"]["heavy"] == first["parent"], "by the server that jobs are forked from"
    assert first["parent_output"] == os.devnull, "which does not hold on to the submitter's output"
    assert first["blocked_signals"] == []
    assert first["main_file"] is None, "the main module is not imported again"
    assert first["environment"]["OMP_NUM_THREADS"] == first["environment"]["MKL_NUM_THREADS"] == "3"
    assert (tmp_path / "log0").read_text() == "could not preload broken: ZeroDivisionError: division by zero\n"


def test_an_executor_with_other_settings_gets_a_server_of_its_own(tmp_path: Path) -> None:
    source = "import os\nAT_IMPORT = os.environ['OMP_NUM_THREADS']\ndef show(): print(AT_IMPORT)\n"
    add_module(tmp_path, "threads", source)
    done = run_script(
        tmp_path,
        """
        for threads in (2, 5):
            executor = find_executor("local")(1, preload=["threads"], threads_per_worker=threads)
            executor.wait(executor.submit([Job("j", "threads:show", {}, Path("log"))]))
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "log").read_text() == "2\n5\n"


def test_a_preload_that_crashes_is_named(tmp_path: Path) -> None:
    add_module(tmp_path, "crashing", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    done = run_script(
        tmp_path,
        """
        executor = find_executor("local")(1, preload=["crashing"])
        try:
            executor.wait(executor.submit([Job("j", JOBS + ":do_nothing", {}, Path("log"))]))
        except InputError as error:
            print(error)
        """,
    )
    assert done.stdout == "the fork server died before it could start a job; it preloads crashing\n", done


def test_jobs_go_on_after_the_server_was_killed(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        import json, os, signal
        executor = find_executor("local")(1, preload=["textwrap"])
        def one(path):
            job = Job("j", JOBS + ":describe_surroundings", {"path": path, "modules": ["textwrap"]}, Path("log"))
            executor.wait(executor.submit([job]))
            return json.loads(Path(path).read_text())
        os.kill(one("first")["parent"], signal.SIGKILL)
        assert one("second")["modules"] == ["textwrap"]
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers must be at least 1, not 0"),
        ({"workers": 1, "threads_per_worker": 0}, "threads_per_worker must be at least 1"),
        ({"workers": 1, "preload": ["toch.nn"]}, "no module 'toch.nn' to preload"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LocalExecutor(**options)

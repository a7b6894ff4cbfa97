"""What a process of a SLURM job does with the scheduler's signals, without a scheduler."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm.stop import Stopped
from tests.cluster.scheduler import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
JOB = {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "1"}
RUN_TASK = "import sys; from slurm.scheduler.task import Task; Task('job', *sys.argv[1:], requeue=True)()"


def send_oneself_at_the_very_end(number: int) -> None:
    """Have the C library send a signal as the last thing that this process does, when Python is no more."""
    # It calls what it was given with the exit status and this argument: kill(0, number), all of one's group.
    library = ctypes.CDLL(None)
    library.on_exit(library.kill, ctypes.c_void_p(number))


def run_as_task(folder: Path, function: Callable[..., None], arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", RUN_TASK, f"{__name__}:{function.__name__}", arguments, str(folder / "job.log")],
        cwd=ROOT,
        env={**os.environ, **JOB},
        start_new_session=True,
        timeout=60,
    )


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_in_the_last_moments_of_a_process_leaves_its_success_alone(
    tmp_path: Path, number: signal.Signals
) -> None:
    pytest.importorskip("submitit")
    done = run_as_task(tmp_path, send_oneself_at_the_very_end, f'{{"number": {number.value}}}')
    assert done.returncode == 0, (tmp_path / "job.log").read_text()


def stop_at_the_limit(progressed: bool) -> None:
    os.kill(os.getpid(), signal.SIGUSR2)
    raise Stopped("stopped", progressed=progressed)


@pytest.mark.parametrize("progressed", [True, False])
def test_only_what_gets_further_goes_back_into_the_queue(tmp_path: Path, progressed: bool) -> None:
    """Else it would end at the same place for ever; SLURM ends it at the limit, and says so."""
    pytest.importorskip("submitit")
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\necho \"$@\" >'{tmp_path}/asked'\n")
    (tmp_path / "scontrol").chmod(0o755)
    function = f"{__name__}:{stop_at_the_limit.__name__}"
    log, asked = tmp_path / "job.log", tmp_path / "asked"
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_TASK, function, json.dumps({"progressed": progressed}), str(log)],
        cwd=ROOT,
        env={**os.environ, **JOB, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    try:
        expected = "back into the queue" if progressed else "give it more hours"
        wait_until(lambda: log.exists() and expected in log.read_text(), 60, "it says what follows")
        wait_until(lambda: asked.exists() or not progressed, 10, "it has asked")
        assert process.poll() is None, "it waits for the kill"
    finally:
        process.kill()
        process.wait()
    assert asked.exists() == progressed


def load_while_a_stranger_ends_the_worker() -> None:
    from torch.utils.data import DataLoader

    batches = iter(DataLoader(list(range(100)), num_workers=1))
    next(batches)
    (worker,) = multiprocessing.active_children()
    subprocess.run(["sh", "-c", f"kill -TERM {worker.pid}"], check=True)
    assert len(list(batches)) == 99
    worker.join(timeout=30)
    assert worker.exitcode == 0


def end_a_worker() -> None:
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    worker.start()
    worker.terminate()
    worker.join(timeout=30)
    assert worker.exitcode in (0, -signal.SIGTERM), worker.exitcode


@pytest.mark.parametrize("function", [load_while_a_stranger_ends_the_worker, end_a_worker])
def test_a_loaders_worker_ends_when_its_parent_says_so_and_not_before(
    tmp_path: Path, function: Callable[..., None]
) -> None:
    pytest.importorskip("submitit")
    done = run_as_task(tmp_path, function, "{}")
    assert done.returncode == 0, (tmp_path / "job.log").read_text()

"""What a process of a SLURM job does with the scheduler's signals, without a scheduler."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
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
        env={**os.environ, "SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "1"},
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

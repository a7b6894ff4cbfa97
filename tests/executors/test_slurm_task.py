"""What a process of a SLURM job does with the scheduler's signals, without a scheduler."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
RUN_TASK = "import sys; from slurm.scheduler.task import Task; Task('job', *sys.argv[1:], requeue=True)()"


def send_oneself_at_the_very_end(number: int) -> None:
    """Have the C library send a signal as the last thing that this process does, when Python is no more."""
    # It calls what it was given with the exit status and this argument: kill(0, number), all of one's group.
    library = ctypes.CDLL(None)
    library.on_exit(library.kill, ctypes.c_void_p(number))


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_in_the_last_moments_of_a_process_leaves_its_success_alone(
    tmp_path: Path, number: signal.Signals
) -> None:
    pytest.importorskip("submitit")
    function = f"{__name__}:{send_oneself_at_the_very_end.__name__}"
    done = subprocess.run(
        [sys.executable, "-c", RUN_TASK, function, f'{{"number": {number.value}}}', str(tmp_path / "job.log")],
        cwd=ROOT,
        env={**os.environ, "SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "1"},
        start_new_session=True,
        timeout=60,
    )
    assert done.returncode == 0, (tmp_path / "job.log").read_text()

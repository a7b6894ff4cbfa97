"""A run is held by one process, and free as soon as that one is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from results.runs import RunDirectory

HOLDER = """
import os, sys, time
from pathlib import Path
from results.runs import RunDirectory

with RunDirectory(Path(sys.argv[1])).claim() as free:
    assert free
    worker = os.fork()
    if worker:
        print(worker, flush=True)
    time.sleep(60)
"""


def test_a_worker_that_outlives_its_run_does_not_hold_it(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    worker = int(holder.stdout.readline())
    try:
        with run.claim() as free:
            assert not free
        holder.kill()
        holder.wait()
        os.kill(worker, 0)  # it is still there
        with run.claim() as free:
            assert free
    finally:
        os.kill(worker, signal.SIGKILL)
        holder.stdout.close()

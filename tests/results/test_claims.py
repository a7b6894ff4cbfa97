"""A run is held by one process, free as soon as that one is dead, and keeps what it noted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from results.runs import RunDirectory, append_json_line

HOLDER = """
import os, sys, time
from pathlib import Path
from results.runs import RunDirectory, append_json_line

with RunDirectory(Path(sys.argv[1])).claim() as free:
    assert free
    if not os.fork():
        print(os.getpid(), flush=True)  # by the worker: its fork is over, with what runs after one
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


def test_a_line_after_one_that_a_kill_cut_off_is_not_lost(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    append_json_line(run.attempts, {"attempt": 1})
    with run.attempts.open("a") as file:
        file.write('{"attempt": 2, "ho')
    append_json_line(run.attempts, {"attempt": 3})
    assert [row["attempt"] for row in run.read_attempts()] == [1, 3]

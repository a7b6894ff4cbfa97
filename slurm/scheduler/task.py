"""What happens in each process of a SLURM job: join the others, catch signals, call the function, or go on later.

A job reacts to two signals (``slurm.scheduler.signals``). After ``SIGUSR2`` it saves its state and requeues itself. If
the profile forbids that, or there was nothing to save, it waits until SLURM kills it, so that its state says TIMEOUT
and not FAILED. After ``SIGTERM`` it saves its state and waits: SLURM decides whether the job comes back.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slurm import stop
from slurm._call import call
from slurm._child import redirect_to
from slurm.scheduler.script import SECONDS_UNTIL_KILLED, failure_mark
from slurm.scheduler.signals import catch_signals, ignore_signals

SECONDS_BETWEEN_REQUESTS = 5


@dataclass
class Task:
    """One job as submitit pickles it: plain values only, so that the code that runs is the snapshot's."""

    job_id: str
    function: str
    arguments: str
    log_path: str
    requeue: bool

    def __call__(self) -> None:
        from submitit import JobEnvironment

        from slurm.scheduler.meeting import join_group

        job = JobEnvironment()
        rank = job.global_rank
        redirect_to(_log_of(Path(self.log_path), rank))
        print(f"SLURM job {job.job_id}, process {rank} of {job.num_tasks} on {_node()}", flush=True)
        told = catch_signals()
        try:
            with join_group(job):
                call(self.function, self.arguments)
        except stop.Stopped as stopped:
            print(stopped, flush=True)
            near_the_limit = signal.SIGTERM not in told
            goes_on = self.requeue and stopped.progressed
            if near_the_limit and goes_on and rank == 0:
                _requeue(job.job_id)
            elif near_the_limit and not stopped.progressed:
                print("nothing was saved since it began, so it would end here again: give it more hours", flush=True)
            _wait_for_the_kill(patient=near_the_limit and not goes_on)
        except stop.PeerLost as lost:
            # A peer that failed ends this process with it, and one whose node was lost has the job requeued. An end
            # of its own would come before that, and count as the job's failure.
            print(lost, flush=True)
            time.sleep(SECONDS_UNTIL_KILLED)
            raise
        except Exception:
            failure_mark(job.paths.folder, os.environ["SLURM_JOB_ID"]).touch()
            raise
        ignore_signals()

    def checkpoint(self) -> Any:
        """Return this task, for submitit to submit again if the signal comes before it has begun."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _requeue(job_id: str) -> None:
    """Ask until slurmctld has heard it: as long as it is away, nobody ends this job either.

    Raises
    ------
    CalledProcessError
        It refuses.
    """
    command = ["scontrol", "requeue", job_id]
    print(f"back into the queue: {' '.join(command)}", flush=True)
    while subprocess.run(command, check=False).returncode:
        if subprocess.run(["scontrol", "ping"], stdout=subprocess.DEVNULL, check=False).returncode == 0:
            subprocess.run(command, check=True)  # it may have come back in between
            return
        time.sleep(SECONDS_BETWEEN_REQUESTS)


def _wait_for_the_kill(*, patient: bool) -> None:
    """Sleep until SLURM kills the job: any exit code would be taken for the result.

    Parameters
    ----------
    patient
        SLURM kills the job at its time limit, so wait as long as that takes.
    """
    time.sleep(SECONDS_UNTIL_KILLED)
    while patient:
        time.sleep(SECONDS_UNTIL_KILLED)
    sys.exit(1)


def _node() -> str:
    return os.environ.get("SLURMD_NODENAME", "this node")


def _log_of(path: Path, rank: int) -> Path:
    return path if rank == 0 else path.with_suffix(f".rank{rank}{path.suffix}")

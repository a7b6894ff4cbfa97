"""The code of each process of a SLURM job: join the group, install signal handlers, call the function, stop early.

A job reacts to two signals (``slurm.scheduler.signals``). After ``SIGUSR2`` it saves its state and requeues itself. If
the profile forbids requeueing or nothing was saved, the job waits until SLURM kills it, so that its state says TIMEOUT
and not FAILED. After ``SIGTERM`` it saves its state and waits: SLURM decides whether the job is requeued.
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
from slurm._process import call, redirect_to
from slurm.scheduler.script import SECONDS_UNTIL_KILLED, failure_mark
from slurm.scheduler.signals import catch_signals, ignore_signals

SECONDS_BETWEEN_REQUESTS = 5


@dataclass
class Task:
    """One job as submitit pickles it. Only plain values, so that the job runs the snapshot's code."""

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
        received = catch_signals()
        try:
            with join_group(job):
                call(self.function, self.arguments)
        except stop.Stopped as stopped:
            print(stopped, flush=True)
            near_the_limit = signal.SIGTERM not in received
            goes_on = self.requeue and stopped.progressed
            if near_the_limit and goes_on and rank == 0:
                _requeue(job.job_id)
            elif near_the_limit and not stopped.progressed:
                print(
                    "nothing was saved in this attempt, so another would end here too; give it more hours",
                    flush=True,
                )
            _sleep_until_killed(patient=near_the_limit and not goes_on)
        except stop.PeerLost as lost:
            # Don't exit here: SLURM would count the job as failed. If the peer failed, SLURM kills this process too;
            # if the peer's node was lost, SLURM requeues the job.
            print(lost, flush=True)
            time.sleep(SECONDS_UNTIL_KILLED)
            raise
        except Exception:
            failure_mark(job.paths.folder, os.environ["SLURM_JOB_ID"]).touch()
            raise
        ignore_signals()

    def checkpoint(self) -> Any:
        """Return this task, so that submitit requeues it if the signal arrives before the task has started."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _requeue(job_id: str) -> None:
    """Call ``scontrol requeue`` until slurmctld answers: while slurmctld is down, nobody ends this job.

    Raises
    ------
    CalledProcessError
        slurmctld refuses.
    """
    command = ["scontrol", "requeue", job_id]
    print(f"back into the queue: {' '.join(command)}", flush=True)
    while subprocess.run(command, check=False).returncode:
        if subprocess.run(["scontrol", "ping"], stdout=subprocess.DEVNULL, check=False).returncode == 0:
            subprocess.run(command, check=True)  # slurmctld may have come back between the two calls
            return
        time.sleep(SECONDS_BETWEEN_REQUESTS)


def _sleep_until_killed(*, patient: bool) -> None:
    """Sleep until SLURM kills the job: any exit code would be taken for the result.

    Parameters
    ----------
    patient
        SLURM will kill the job at its time limit, so wait as long as it takes.
    """
    time.sleep(SECONDS_UNTIL_KILLED)
    while patient:
        time.sleep(SECONDS_UNTIL_KILLED)
    sys.exit(1)


def _node() -> str:
    return os.environ.get("SLURMD_NODENAME", "this node")


def _log_of(path: Path, rank: int) -> Path:
    return path if rank == 0 else path.with_suffix(f".rank{rank}{path.suffix}")

"""Batch scripts: the parameters passed to submitit, and the text it generates. Needs no SLURM."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slurm.scheduler.commands import CLIENT_VARIABLES
from slurm.scheduler.profile import ClusterProfile, SlurmResources

ATTEMPT = "OPERA_BENCH_ATTEMPT"
"""Environment variable whose value is unique to each start of a job and equal in all its processes."""
KILLED, TERMINATED, WARNED = 137, 143, 140
"""Exit statuses of ``srun`` when SIGKILL, SIGTERM or SIGUSR2 ended its tasks."""
SECONDS_TO_MISS_A_NODE = 330
"""Seconds after which slurmctld has noticed a lost node: SlurmdTimeout is 300 by default."""
SECONDS_UNTIL_KILLED = 600
"""Seconds that a job told to stop waits to be killed. KillWait and GraceTime of clusters are shorter."""
SECONDS_UNTIL_KILLED_OF_SEVERAL = 120
"""The wait when several processes run: srun reports only the signal, so a preemption can't be told from one crashed
process that took the others down."""
MAX_TIMEOUTS = 1_000_000
"""submitit counts a job's timeouts down from this value and gives up at 0; a run may need many timeouts."""


@dataclass(frozen=True)
class Batch:
    """Jobs that one ``sbatch`` call submits.

    Parameters
    ----------
    name
        The job name, unique among all submissions. (SLURM can use a job id again.)
    folder
        Directory of this batch alone: script, pickles and output written before a job has opened its log.
    size
        Number of jobs; more than one makes an array.
    depends_on
        SLURM ids of jobs that must succeed first.
    code
        Directory of the packages to run; it precedes installed packages on the path.
    """

    name: str
    folder: Path
    size: int
    resources: SlurmResources
    depends_on: tuple[str, ...]
    code: Path


def parameters(batch: Batch, profile: ClusterProfile) -> dict[str, Any]:
    """Return the arguments of submitit's ``SlurmExecutor.update_parameters`` for a batch."""
    resources = batch.resources
    additional: dict[str, Any] = {"kill-on-invalid-dep": "yes", **dict(resources.sbatch)}
    additional |= {"requeue": True} if profile.requeue else {"no-requeue": True}
    # A flag set to false is left out.
    additional = {flag: value for flag, value in additional.items() if value is not False}
    arguments: dict[str, Any] = {
        "job_name": batch.name,
        "time": resources.minutes,
        "nodes": resources.nodes,
        "ntasks_per_node": resources.processes_per_node,
        "cpus_per_task": resources.cpus_per_process,
        "partition": resources.partition,
        "account": resources.account,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "gpus_per_node": resources.gpus_per_node or None,
        "mem": _memory(resources.memory_gb_per_node),
        "dependency": f"afterok:{':'.join(batch.depends_on)}" if batch.depends_on else None,
        "array_parallelism": resources.max_concurrent or batch.size,
        "signal_delay_s": profile.seconds_before_limit,
        "stderr_to_stdout": True,
        "setup": [*resources.setup, *_environment(batch), *(_exit_trap(batch) if profile.requeue else [])],
        # If one process fails, srun must end the others. Since SLURM 22.05 srun does not take --cpus-per-task over from
        # sbatch: without the flag it binds each process to one processor.
        "srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={resources.cpus_per_process}"],
        "additional_parameters": additional,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def interpreter(resources: SlurmResources) -> str:
    """Return the Python interpreter of a job, quoted for the shell."""
    return shlex.quote(resources.python or sys.executable)


def script_text(batch: Batch, profile: ClusterProfile) -> str:
    """Return the exact script that ``sbatch`` would get."""
    from submitit.slurm import slurm

    command = f"{interpreter(batch.resources)} -u -m submitit.core._submit {shlex.quote(str(batch.folder))}"
    arguments = parameters(batch, profile)
    if batch.size > 1:
        arguments["map_count"] = batch.size
    with without_inherited_flags(batch.resources):
        return slurm._make_sbatch_string(command, batch.folder, **arguments)


def _memory(gibibytes: float | None) -> str | None:
    return None if gibibytes is None else f"{round(gibibytes * 1024)}M"


def _environment(batch: Batch) -> list[str]:
    resources = batch.resources
    # With a GPU per process, the loader workers need the processors; without, the tensor operations do.
    threads = 1 if resources.gpus_per_node else resources.cpus_per_process
    # A new value each time the job starts, requeued or not: see slurm.scheduler.meeting.
    attempt = [f"export {ATTEMPT}=$(</proc/sys/kernel/random/uuid)"] if resources.processes > 1 else []
    return [
        *attempt,
        f"export PYTHONPATH={shlex.quote(str(batch.code))}${{PYTHONPATH:+:$PYTHONPATH}}",
        # Without this, the directory in which sbatch was called would precede the submitted code on sys.path.
        "export PYTHONSAFEPATH=1",
        f"export OMP_NUM_THREADS={threads}",
    ]


def failure_mark(folder: Path, job_number: str) -> Path:
    """Return the path of the file that a job creates when its function raises."""
    return folder / f"failed-{job_number}"


def _exit_trap(batch: Batch) -> list[str]:
    """Return shell lines that keep a job alive after its step was interrupted, until SLURM kills it.

    SLURM requeues a job that is preempted or loses its node, but only if the job has not ended: a job that ends counts
    as failed. A process that has not installed its signal handlers is ended by the first signal; and with several
    nodes, ``srun`` may notice a lost node long before slurmctld does.
    """
    seconds = SECONDS_UNTIL_KILLED if batch.resources.processes == 1 else SECONDS_UNTIL_KILLED_OF_SEVERAL
    cases = [f"    {TERMINATED} | {WARNED}) sleep {seconds} ;;"]
    if batch.resources.nodes > 1:
        cases.append(f"    {KILLED}) sleep {SECONDS_TO_MISS_A_NODE} ;;")
    mark = f'{shlex.quote(str(failure_mark(batch.folder, "")))}"$SLURM_JOB_ID"'
    return [
        f"rm -f {mark}",
        "trap_of_the_setup=$(trap -p EXIT)",
        "wait_until_slurm_kills() {",
        "  code=$?",
        f"  [ -e {mark} ] || case $code in",
        *cases,
        "  esac",
        '  if [ -n "$trap_of_the_setup" ]; then eval "set -- $trap_of_the_setup"; eval "$3"; fi',
        "  exit $code",
        "}",
        "trap wait_until_slurm_kills EXIT",
    ]


@contextlib.contextmanager
def without_inherited_flags(resources: SlurmResources) -> Iterator[None]:
    """Hide the environment variables that would change what sbatch, srun and submitit do.

    ``SBATCH_…`` overrides the script, ``SLURM_…`` of a surrounding job reaches the new job's ``srun``, and
    ``SUBMITIT_…`` changes the script. The account, partition and QOS stay if the profile leaves them open: sites set
    them for their users.
    """
    left_open = [f"SBATCH_{key.upper()}" for key in ("account", "partition", "qos") if getattr(resources, key) is None]
    kept_there = (*CLIENT_VARIABLES, *left_open)
    names = [
        name for name in os.environ if name.startswith(("SBATCH_", "SLURM_", "SUBMITIT_")) and name not in kept_there
    ]
    kept = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(kept)

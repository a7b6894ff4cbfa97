"""Batch scripts: what submitit is told, and the text it makes of that. Needs no SLURM."""

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
from slurm.scheduler.profile import ClusterProfile, Resources

ATTEMPT = "OPERA_BENCH_ATTEMPT"
"""The variable that names one start of a job in all its processes."""
KILLED, TERMINATED, WARNED = 137, 143, 140
"""Exit statuses of ``srun`` when ``SIGKILL``, ``SIGTERM`` or ``SIGUSR2`` ended its tasks."""
SECONDS_TO_MISS_A_NODE = 330
"""SlurmdTimeout is 300 by default."""
SECONDS_UNTIL_KILLED = 600
"""How long a job that is told to stop waits to be killed. KillWait and GraceTime of clusters are shorter."""
SECONDS_UNTIL_KILLED_OF_SEVERAL = 120
"""The wait when several processes run: srun reports only the signal, so a preemption can't be told from one crashed
process that took the others down."""
MAX_TIMEOUTS = 1_000_000
"""submitit counts time-outs down and gives up; a run may need any number of them."""


@dataclass(frozen=True)
class Batch:
    """Jobs that one ``sbatch`` call submits.

    Parameters
    ----------
    name
        The job name, unique among all submissions: a job id can be used again by the scheduler, a name is not.
    folder
        Of its own for this batch: script, pickles and what is said before a job has opened its log.
    size
        Jobs; more than one is an array.
    depends_on
        SLURM ids of jobs that must succeed first.
    code
        Directory that holds the packages to run, before anything that is installed.
    """

    name: str
    folder: Path
    size: int
    resources: Resources
    depends_on: tuple[str, ...]
    code: Path


def parameters(batch: Batch, profile: ClusterProfile) -> dict[str, Any]:
    """What submitit's ``SlurmExecutor.update_parameters`` is told about a batch."""
    wanted = batch.resources
    additional: dict[str, Any] = {"kill-on-invalid-dep": "yes", **dict(wanted.sbatch)}
    additional |= {"requeue": True} if profile.requeue else {"no-requeue": True}
    # A flag that is switched off is one that is not written.
    additional = {flag: value for flag, value in additional.items() if value is not False}
    told: dict[str, Any] = {
        "job_name": batch.name,
        "time": wanted.minutes,
        "nodes": wanted.nodes,
        "ntasks_per_node": wanted.processes_per_node,
        "cpus_per_task": wanted.cpus_per_process,
        "partition": wanted.partition,
        "account": wanted.account,
        "qos": wanted.qos,
        "constraint": wanted.constraint,
        "gpus_per_node": wanted.gpus_per_node or None,
        "mem": _memory(wanted.memory_gb_per_node),
        "dependency": f"afterok:{':'.join(batch.depends_on)}" if batch.depends_on else None,
        "array_parallelism": wanted.max_concurrent or batch.size,
        "signal_delay_s": profile.seconds_before_limit,
        "stderr_to_stdout": True,
        "setup": [*wanted.setup, *_environment(batch), *(_exit_trap(batch) if profile.requeue else [])],
        # One process that ends badly must not leave the others waiting for it. Since SLURM 22.05 srun does not take the
        # processors of a task over from sbatch, and binds each process to one.
        "srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={wanted.cpus_per_process}"],
        "additional_parameters": additional,
    }
    return {name: value for name, value in told.items() if value is not None}


def interpreter(resources: Resources) -> str:
    """The shell word that starts Python in a job."""
    return shlex.quote(resources.python or sys.executable)


def script_text(batch: Batch, profile: ClusterProfile) -> str:
    """The script that ``sbatch`` would be given, character by character."""
    from submitit.slurm import slurm

    command = f"{interpreter(batch.resources)} -u -m submitit.core._submit {shlex.quote(str(batch.folder))}"
    told = parameters(batch, profile)
    if batch.size > 1:
        told["map_count"] = batch.size
    with without_inherited_flags(batch.resources):
        return slurm._make_sbatch_string(command, batch.folder, **told)


def _memory(gibibytes: float | None) -> str | None:
    return None if gibibytes is None else f"{round(gibibytes * 1024)}M"


def _environment(batch: Batch) -> list[str]:
    wanted = batch.resources
    # With a GPU per process the processors belong to the loader's workers; without, to the tensor operations.
    threads = 1 if wanted.gpus_per_node else wanted.cpus_per_process
    # Another one each time the job starts, requeued or not: see slurm.scheduler.meeting.
    attempt = [f"export {ATTEMPT}=$(</proc/sys/kernel/random/uuid)"] if wanted.processes > 1 else []
    return [
        *attempt,
        f"export PYTHONPATH={shlex.quote(str(batch.code))}${{PYTHONPATH:+:$PYTHONPATH}}",
        # Else the directory that sbatch was typed in would come before the code that was submitted.
        "export PYTHONSAFEPATH=1",
        f"export OMP_NUM_THREADS={threads}",
    ]


def failure_mark(folder: Path, job_number: str) -> Path:
    """What a job leaves that failed of itself."""
    return folder / f"failed-{job_number}"


def _exit_trap(batch: Batch) -> list[str]:
    """Lines that put off the end of a job whose step was cut off, until SLURM says what becomes of it.

    It requeues a job that is preempted or whose node is lost, but only one that is still there; one that has ended has
    failed. A process that does not yet catch signals ends with the first; and of several nodes ``srun`` may miss one
    long before slurmctld does.
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
def without_inherited_flags(wanted: Resources) -> Iterator[None]:
    """sbatch lets ``SBATCH_…`` of the environment overrule a script, and hands ``SLURM_…`` of a job on to its ``srun``;
    ``SUBMITIT_…`` changes the script.

    What runs is to be what was shown, wherever it is submitted from. Only whom to charge and where to queue, if the
    profile leaves that open, is the environment's to say: sites set it for their users.
    """
    left_open = [f"SBATCH_{key.upper()}" for key in ("account", "partition", "qos") if getattr(wanted, key) is None]
    kept_there = (*CLIENT_VARIABLES, *left_open)
    names = [
        name for name in os.environ if name.startswith(("SBATCH_", "SLURM_", "SUBMITIT_")) and name not in kept_there
    ]
    kept = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(kept)

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

from slurm.errors import InputError
from slurm.scheduler.profile import OURS, ClusterProfile, Resources

ANY_NUMBER_OF_TIMEOUTS = 1_000_000
"""submitit counts time-outs down and gives up; a run goes on as often as its work takes."""


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
    """What submitit's ``SlurmExecutor.update_parameters`` is told about a batch.

    Raises
    ------
    InputError
        A path in which SLURM would read a pattern of its own.
    """
    if any(character in str(batch.folder) for character in "%\\\n"):
        raise InputError(f"{batch.folder}: SLURM gives %, \\ and line breaks in paths a meaning; choose another --runs")
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
        "setup": [*wanted.setup, *_environment(batch)],
        # One process that ends badly must not leave the others waiting for it.
        "srun_args": ["--kill-on-bad-exit=1"],
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
    return slurm._make_sbatch_string(command, batch.folder, **told)


def _memory(gibibytes: float | None) -> str | None:
    return None if gibibytes is None else f"{round(gibibytes * 1024)}M"


def _environment(batch: Batch) -> list[str]:
    wanted = batch.resources
    # With a GPU per process the processors belong to the loader's workers; without, to the tensor operations.
    threads = 1 if wanted.gpus_per_node else wanted.cpus_per_process
    return [
        f"export PYTHONPATH={shlex.quote(str(batch.code))}${{PYTHONPATH:+:$PYTHONPATH}}",
        # Else the directory that sbatch was typed in would come before the code that was submitted.
        "export PYTHONSAFEPATH=1",
        f"export OMP_NUM_THREADS={threads}",
    ]


@contextlib.contextmanager
def without_the_shells_flags() -> Iterator[None]:
    """sbatch lets ``SBATCH_…`` of the environment overrule a script: a job of another name could not be found again."""
    names = [f"SBATCH_{flag.upper().replace('-', '_')}" for flag in (*OURS, "array-inx")]
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)

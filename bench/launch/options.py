"""Turns command-line options into a ``Launch``, which says where and how runs are computed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from pathlib import Path

from bench.launch.cluster import choose_profile
from bench.sweep.errors import InputError
from bench.sweep.model import Sweep
from bench.sweep.overrides import naming_assignments, split_assignments
from pretrain.compute import PLAIN, ComputeOptions
from pretrain.plugins import suggest
from slurm.scheduler.profile import ClusterProfile


@dataclass(frozen=True)
class Launch:
    """Where and how runs are computed; nothing here is part of a run's id.

    Parameters
    ----------
    profile
        The cluster's profile if ``executor`` is slurm, else None.
    label
        Prefix of the scheduler's job names.
    flags
        Options to repeat in suggested commands, such as ``" --executor slurm"``: with a leading space, or empty.

    Raises
    ------
    InputError
        ``device`` is not the name of a device.
    """

    runs_directory: Path
    executor: str = "local"
    workers: int = 1
    device: str = "auto"
    profile: ClusterProfile | None = None
    label: str = "opera-bench"
    flags: str = ""
    compute: ComputeOptions = PLAIN

    def __post_init__(self) -> None:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise InputError(f"--device: {self.device!r} is no device; allowed: auto, cpu, cuda, cuda:0, cuda:1, …")


def plan_launch(
    sweep: Sweep,
    runs_directory: Path,
    executor: str,
    workers: int | None,
    device: str,
    cluster: str | None,
    compute: ComputeOptions = PLAIN,
) -> Launch:
    """Combine a command's options and a sweep into a launch.

    Raises
    ------
    InputError
        Options contradict each other, or the cluster is missing or invalid.
    """
    if executor != "slurm":
        if cluster is not None:
            raise InputError(f"--cluster {cluster}: works only with --executor slurm")
        return Launch(runs_directory, executor, workers or available_cpus(), device, compute=compute)
    if workers is not None:
        raise InputError("--workers: works only with --executor local; a cluster's profile has max_concurrent")
    flags = " --executor slurm" + (f" --cluster {shlex.quote(cluster)}" if cluster else "")
    return Launch(runs_directory, executor, 1, device, choose_profile(sweep, cluster), sweep.name, flags, compute)


def parse_compute(assignments: Sequence[str]) -> ComputeOptions:
    """Parse ``--compute key=value`` assignments.

    Raises
    ------
    InputError
        A text isn't an assignment, a key is unknown, or a value has the wrong type.
    """
    fields = {field.name: field.default for field in dataclass_fields(ComputeOptions)}
    values = split_assignments(assignments, "--compute")
    with naming_assignments(assignments, "--compute"):
        for key, value in values.items():
            if key not in fields:
                raise InputError(f"{key}: unknown key; {suggest(key, tuple(fields))}")
            # micro_batch_size may be None, a number or auto; ComputeOptions checks it.
            if fields[key] is not None and type(value) is not type(fields[key]):
                kind = "true or false" if isinstance(fields[key], bool) else "a whole number"
                raise InputError(f"{key}: must be {kind}, not {value!r}")
        return ComputeOptions(**values)


def available_cpus() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

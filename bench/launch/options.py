"""Turns command-line options into a ``Launch``, which says where and how runs are computed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

from bench.plan.graph import IMPORT, PRETRAIN
from bench.sweep.errors import InputError
from bench.sweep.model import Sweep
from bench.sweep.overrides import naming_assignments, split_assignments
from bench.sweep.source import Source, load_yaml
from pretrain.compute import PLAIN, ComputeOptions
from pretrain.plugins import plugin_names, suggest
from slurm.job import ExecutorOptions, Request
from slurm.lookup import cluster_executor, find_executor


@dataclass(frozen=True)
class Launch:
    """Where and how runs are computed; nothing here is part of a run's id.

    Parameters
    ----------
    options
        The options of the executor.
    label
        The sweep's name.
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
    options: ExecutorOptions = field(default_factory=ExecutorOptions)
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
        Unknown executor, or options that it doesn't take or that are missing or invalid.
    """
    options = read_options(executor, sweep, cluster, workers)
    flags = executor_flags(executor, cluster)
    return Launch(runs_directory, executor, workers or available_cpus(), device, options, sweep.name, flags, compute)


def read_options(
    executor: str, sweep: Sweep, cluster: str | None = None, workers: int | None = None
) -> ExecutorOptions:
    """Return the options of an executor, from the command line and the sweep.

    Raises
    ------
    InputError
        Unknown executor, or options that it doesn't take or that are missing or invalid.
    """
    named: Any = sweep.file.cluster
    if isinstance(named, dict):
        places = {path[1:]: place for path, place in sweep.source.places.items() if path[:1] == ("cluster",)}
        named = Source(sweep.source.name, named, places)
    stages = (PRETRAIN, IMPORT, *plugin_names("evaluators"))
    request = Request(load_yaml, workers, cluster, named, stages, available_cpus())
    return find_executor(executor).Options.read(request)


def read_cluster(sweep: Sweep | None, cluster: str | None = None) -> tuple[ExecutorOptions | None, str]:
    """Return the options of the cluster that ``--cluster`` or the sweep names, and the flags to run on it.

    Returns None and '' if neither names a cluster.
    """
    named = None if sweep is None else cluster or sweep.file.cluster
    if sweep is None or named is None:
        return None, ""
    executor = cluster_executor(named)
    return read_options(executor, sweep, cluster), executor_flags(executor, cluster)


def executor_flags(executor: str, cluster: str | None) -> str:
    """Return the `` --executor …`` part of suggested commands; '' for an executor that runs jobs on this machine."""
    if not find_executor(executor).returns_at_once:
        return ""
    return f" --executor {executor}" + (f" --cluster {shlex.quote(cluster)}" if cluster else "")


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
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

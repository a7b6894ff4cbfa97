"""From a plan to finished runs: check what can be checked first, then hand jobs to an executor."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.display import show_progress
from bench.errors import InputError
from bench.plan import PRETRAIN, PlannedRun
from bench.states import RunStatus
from bench.yaml_source import VARIABLE
from evaluators.lookup import why_unavailable
from pretrain.datasets import find_dataset
from results.runs import RunDirectory, RunState, write_atomically
from slurm import Executor, Handle, Job, find_executor

WORKER = "bench.worker"
LOG_NAME = "job.log"


@dataclass(frozen=True)
class Launch:
    """Where and how runs are computed; nothing here changes a result.

    Raises
    ------
    InputError
        Not the name of a device.
    """

    runs_directory: Path
    executor: str = "local"
    workers: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise InputError(f"--device: {self.device!r} is no device; allowed: auto, cpu, cuda, cuda:0, cuda:1, …")


def available_cpus() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def select(statuses: Sequence[RunStatus], retry: frozenset[RunState] = frozenset()) -> list[PlannedRun]:
    """The runs to start: those that have not run, in order, as far as their parents allow.

    Parameters
    ----------
    retry
        States that are started again; without it, a run that failed stays failed.
    """
    done = {status.run.run_id for status in statuses if status.own_state is RunState.DONE}
    chosen: dict[str, PlannedRun] = {}
    for status in statuses:
        wanted = status.own_state is RunState.PLANNED or status.own_state in retry
        if wanted and all(parent in done or parent in chosen for parent in status.run.parents):
            chosen[status.run.run_id] = status.run
    return list(chosen.values())


def require_software(runs: Sequence[PlannedRun]) -> None:
    """
    Raises
    ------
    InputError
        An evaluator of these runs needs a library that this Python lacks.
    """
    for stage in sorted({run.stage for run in runs} - {PRETRAIN}):
        if reason := why_unavailable(stage):
            raise InputError(f"{stage}: {reason}")


def data_roots(runs: Sequence[PlannedRun], data: Mapping[str, str], *, where: str = "the sweep") -> dict[str, str]:
    """Absolute directories of the datasets that these runs read.

    Raises
    ------
    InputError
        A dataset without a directory, or whose directory is missing or empty.
    """
    roots: dict[str, str] = {}
    for name in sorted({run.dataset for run in runs}):
        text = data.get(name)
        if text is None:
            if find_dataset(name).INFO.needs_root:
                raise InputError(f"{where}: dataset {name} has no directory; say data: {{{name}: /path/to/{name}}}")
            continue
        if unset := VARIABLE.search(text):
            raise InputError(f"{where}: data: {name}: environment variable {unset[1]} is not set")
        root = Path(text).expanduser().absolute()
        if not root.is_dir():
            raise InputError(f"{where}: data: {name}: {root} is not a directory")
        if not any(root.iterdir()):
            raise InputError(f"{where}: data: {name}: {root} is empty")
        roots[name] = str(root)
    return roots


def write_configs(runs: Sequence[PlannedRun], directory: Path) -> None:
    """Leave ``config.yaml`` for every run that has none.

    Raises
    ------
    InputError
        The directory can't be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
        for run in runs:
            place = RunDirectory(directory / run.run_id)
            if place.config.exists():
                continue
            place.path.mkdir(exist_ok=True)
            write_atomically(place.config, config_text(run))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{directory}: can't write runs here ({reason}); choose another with --runs DIR") from error


def config_text(run: PlannedRun) -> str:
    """The text of ``config.yaml``."""
    content = {"run_id": run.run_id, "stage": run.stage, "parents": list(run.parents), "config": run.config}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def build_jobs(runs: Sequence[PlannedRun], launch: Launch, roots: Mapping[str, str]) -> list[Job]:
    """One job a run."""
    loaders = max(available_cpus() // launch.workers - 1, 0)
    directory = launch.runs_directory.absolute()
    return [
        Job(
            id=run.run_id,
            function=f"{WORKER}:execute",
            arguments={
                "run_directory": str(directory / run.run_id),
                "device": launch.device,
                "num_workers": loaders,
                "data_roots": {run.dataset: roots[run.dataset]} if run.dataset in roots else {},
            },
            log_path=RunDirectory(directory / run.run_id).logs / LOG_NAME,
            parents=run.parents,
        )
        for run in runs
    ]


def find_launch_executor(launch: Launch) -> Executor:
    """The executor, ready for this package's jobs.

    Raises
    ------
    InputError
        No executor of that name.
    """
    factory = find_executor(launch.executor)
    return factory(workers=launch.workers, preload=(WORKER,)) if launch.executor == "local" else factory()


def run_jobs(executor: Executor, jobs: Sequence[Job], launch: Launch) -> list[Handle]:
    """Submit and wait, showing progress; ``KeyboardInterrupt`` passes through, with nothing left running."""
    handles = executor.submit(jobs)
    with show_progress(len(jobs), launch.runs_directory, live=launch.executor != "inline") as on_change:
        executor.wait(handles, on_change)
    return handles

"""From a plan to finished runs: check what can be checked first, then hand jobs to an executor."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from bench.launch.cluster import slurm_executor
from bench.launch.compute_options import fitting_compute
from bench.launch.options import Launch, available_cpus
from bench.launch.progress import show_progress
from bench.plan.graph import IMPORT, PRETRAIN, PlannedRun
from bench.runs.configs import config_text
from bench.runs.ends import note_lost_job
from bench.runs.states import RunStatus
from bench.sweep.errors import InputError
from bench.sweep.source import VARIABLE
from evaluators.parts.availability import Availability, ask_availability
from pretrain.datasets import find_dataset
from results.runs import RunDirectory, RunState, write_atomically
from slurm import Executor, Handle, Job, JobState, find_executor
from slurm.scheduler.profile import ClusterProfile

WORKER = "bench.worker.run_job"
PRELOADED = "bench.worker.preloaded"
LOG_NAME = "job.log"


def locked_elsewhere(statuses: Sequence[RunStatus], directory: Path) -> frozenset[str]:
    """The ids of the runs that another process computes and whose locks this host sees: a job can wait for those.

    Runs that ended since their states were read count too: a job for one ends at once.
    """
    running = [RunDirectory(directory / s.run.run_id) for s in statuses if s.own_state is RunState.RUNNING]
    return frozenset(run.run_id for run in running if run.is_claimed() or run.record.exists())


def select(
    statuses: Sequence[RunStatus],
    retry: frozenset[RunState] = frozenset(),
    *,
    on_cluster: bool = False,
    locked: Collection[str] = (),
) -> list[PlannedRun]:
    """The runs to start: those that have not run, in order, as far as their parents allow.

    Parameters
    ----------
    retry
        States that are started again; without it, a run that failed stays failed.
    on_cluster
        A scheduler can hold a run until parents that it runs, or that it still holds, are done.
    locked
        Runs that another process computes, see ``locked_elsewhere``. One that a run to start needs is started too: its
        job waits until the other process is done, and computes the run itself if that process dies.
    """
    ready = {RunState.DONE, RunState.WAITING, RunState.RUNNING} if on_cluster else {RunState.DONE}
    done = {status.run.run_id for status in statuses if status.own_state in ready}
    waited_for = {s.run.run_id: s.run for s in statuses if s.run.run_id in locked and not on_cluster}
    chosen: dict[str, PlannedRun] = {}
    for status in statuses:
        wanted = status.own_state is RunState.PLANNED or status.own_state in retry
        if wanted and all(parent in done or parent in chosen or parent in waited_for for parent in status.run.parents):
            chosen |= {parent: waited_for[parent] for parent in status.run.parents if parent in waited_for}
            chosen[status.run.run_id] = status.run
    return list(chosen.values())


def ask_software(
    runs: Sequence[PlannedRun],
    profile: ClusterProfile | None,
    ask_about: Callable[[str, str | None], Availability] = ask_availability,
) -> dict[str, Availability]:
    """Evaluator → whether the Python that will run it can; those that can are left out.

    A Python of a cluster's profile is asked here. What it can't import here it may find there, where the profile's
    ``setup`` lines come first, so with such lines only its success is believed.
    """

    def ask(stage: str) -> Availability:
        resources = None if profile is None else profile.resources(stage)
        if resources is None or resources.python is None:
            return ask_about(stage, None)
        answer = ask_about(stage, resources.python)
        if answer.can_run is False and resources.setup:
            return Availability(None, f"{resources.python} can't run it without the profile's setup lines")
        return answer

    stages = sorted({run.stage for run in runs} - {PRETRAIN, IMPORT})
    with ThreadPoolExecutor() as pool:
        answers = dict(zip(stages, pool.map(ask, stages), strict=True))
    return {stage: answer for stage, answer in answers.items() if not answer.can_run}


def require_software(
    runs: Sequence[PlannedRun], profile: ClusterProfile | None, announce: Callable[[str], None] = lambda _: None
) -> None:
    """Import what evaluators need, in child processes, before anything is computed.

    Parameters
    ----------
    announce
        Called with a line about each evaluator whose Python can't be asked here.

    Raises
    ------
    InputError
        Something is missing or can't be imported.
    """
    for stage, answer in ask_software(runs, profile).items():
        if answer.can_run is False:
            raise InputError(f"{stage}: {answer.reason}")
        announce(f"{stage}: not checked: {answer.reason}")


def data_roots(runs: Sequence[PlannedRun], data: Mapping[str, str], *, where: str = "the sweep") -> dict[str, str]:
    """Absolute directories of the datasets that these runs read.

    Raises
    ------
    InputError
        A dataset without a directory, or whose directory is missing or empty; a checkpoint to import that is missing.
    """
    for run in runs:
        if run.source is not None:
            _check_source(run.source, where)
    roots: dict[str, str] = {}
    for name in sorted({run.dataset for run in runs if run.dataset is not None}):
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


def _check_source(source: str, where: str) -> None:
    if unset := VARIABLE.search(source):
        raise InputError(f"{where}: checkpoint {source}: environment variable {unset[1]} is not set")
    if not Path(source).expanduser().exists():
        raise InputError(f"{where}: checkpoint {source}: no such file")


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


def build_jobs(
    runs: Sequence[PlannedRun], statuses: Sequence[RunStatus], launch: Launch, roots: Mapping[str, str]
) -> list[Job]:
    """One job a run, which names as parents those that are not done."""
    directory = launch.runs_directory.absolute()
    done = {status.run.run_id for status in statuses if status.own_state is RunState.DONE}
    return [
        Job(
            id=run.run_id,
            function=f"{WORKER}:execute",
            arguments={
                "run_directory": str(directory / run.run_id),
                "device": launch.device,
                "num_workers": _loader_workers(run, launch),
                "data_roots": {name: root for name, root in roots.items() if name == run.dataset},
                "source": None if run.source is None else str(Path(run.source).expanduser().absolute()),
                "compute": asdict(fitting_compute(run, launch.compute)),
            },
            log_path=RunDirectory(directory / run.run_id).logs / LOG_NAME,
            parents=tuple(parent for parent in run.parents if parent not in done),
            stage=run.stage,
        )
        for run in runs
    ]


def _loader_workers(run: PlannedRun, launch: Launch) -> int:
    """Processes that load data for one process of the run: the processors that training leaves."""
    if launch.profile is None:
        return max(available_cpus() // launch.workers - 1, 0)
    resources = launch.profile.resources(run.stage)
    return max(resources.cpus_per_process - 1, 0) if resources.gpus_per_node else 0


def find_launch_executor(launch: Launch) -> Executor:
    """The executor, ready for this package's jobs.

    Raises
    ------
    InputError
        No executor of that name.
    """
    if launch.profile is not None:
        return slurm_executor(launch.profile, launch.runs_directory, launch.label)
    factory = find_executor(launch.executor)
    return factory(workers=launch.workers, preload=(PRELOADED,)) if launch.executor == "local" else factory()


def run_jobs(executor: Executor, jobs: Sequence[Job], launch: Launch) -> list[Handle]:
    """Submit and wait, showing progress; ``KeyboardInterrupt`` passes through, with nothing left running."""
    handles = executor.submit(jobs)
    begun: set[str] = set()

    with show_progress(len(jobs), launch.runs_directory, live=launch.executor != "inline") as show:

        def on_change(handle: Handle) -> None:
            if handle.state is JobState.RUNNING:
                begun.add(handle.job.id)
            elif handle.job.id in begun:  # one that did not begin has the state of its parents
                note_lost_job(handle, launch.runs_directory)
            show(handle)

        executor.wait(handles, on_change)
    return handles

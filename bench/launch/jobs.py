"""Selects the runs to start, checks their software and data, and hands their jobs to an executor."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from bench.launch.compute_options import fitting_compute
from bench.launch.options import Launch, available_cpus
from bench.launch.progress import show_progress
from bench.plan.graph import IMPORT, PRETRAIN, PlannedRun
from bench.plan.roots import find_root
from bench.runs.configs import config_text
from bench.runs.ends import note_lost_job
from bench.runs.states import RunStatus
from bench.sweep.errors import InputError
from bench.sweep.source import VARIABLE
from bench.worker.provenance import CODE_VERSION_FILE, code_version
from evaluators.parts.availability import Availability, ask_availability
from pretrain.datasets import find_dataset
from results.runs import RunDirectory, RunState, write_atomically
from slurm.job import Code, Executor, ExecutorOptions, Handle, Job, JobState
from slurm.lookup import executor_folder, find_executor

WORKER = "bench.worker.run_job"
PRELOADED = "bench.worker.preloaded"
LOG_NAME = "job.log"
PACKAGES = ("bench", "pretrain", "evaluators", "results", "slurm")


def locked_elsewhere(statuses: Sequence[RunStatus], directory: Path) -> frozenset[str]:
    """Return ids of runs that other processes compute and whose locks this host sees, so that jobs can wait for them.

    Runs that ended after their states were read are included: a job for such a run ends at once.
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
    """Return the runs to start, in order: planned and ``retry`` ones whose parents are done or start too.

    Parameters
    ----------
    retry
        States that are started again.
    on_cluster
        Whether parents may also be running or queued: a scheduler holds a job until they are done.
    locked
        Runs that another process computes, see ``locked_elsewhere``. If a run to start needs one, a job is started for
        it too: the job waits for the other process, and computes the run itself if that process dies.
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
    options: ExecutorOptions | None,
    ask_about: Callable[[str, str | None], Availability] = ask_availability,
) -> dict[str, Availability]:
    """Return, by evaluator, why its Python can't run it or can't be checked; evaluators that can run are left out.

    The Python of a cluster's profile is checked on this machine. If it fails but the profile has ``setup`` lines, the
    answer is unknown: those lines may provide the missing packages.
    """

    def ask(stage: str) -> Availability:
        resources = None if options is None else options.resources(stage)
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
    runs: Sequence[PlannedRun], options: ExecutorOptions | None, announce: Callable[[str], None] = lambda _: None
) -> None:
    """Check in child processes that the evaluators' packages can be imported, before anything is computed.

    Parameters
    ----------
    announce
        Called with a line about each evaluator that can't be checked here.

    Raises
    ------
    InputError
        A package is missing or can't be imported.
    """
    for stage, answer in ask_software(runs, options).items():
        if answer.can_run is False:
            raise InputError(f"{stage}: {answer.reason}")
        announce(f"{stage}: not checked: {answer.reason}")


def data_roots(runs: Sequence[PlannedRun], data: Mapping[str, str], *, where: str = "the sweep") -> dict[str, str]:
    """Return the absolute directory of each dataset that these runs read, by the dataset's name.

    Raises
    ------
    InputError
        A dataset has no directory, its directory is missing or empty, or a checkpoint to import is missing.
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
        roots[name] = str(find_root(name, text, where))
    return roots


def _check_source(source: str, where: str) -> None:
    if unset := VARIABLE.search(source):
        raise InputError(f"{where}: checkpoint {source}: environment variable {unset[1]} is not set")
    if not Path(source).expanduser().exists():
        raise InputError(f"{where}: checkpoint {source}: no such file")


def write_configs(runs: Sequence[PlannedRun], directory: Path) -> None:
    """Write ``config.yaml`` for every run that has none.

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
            run_directory = RunDirectory(directory / run.run_id)
            if run_directory.config.exists():
                continue
            run_directory.path.mkdir(exist_ok=True)
            write_atomically(run_directory.config, config_text(run))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{directory}: can't write runs here ({reason}); choose another with --runs DIR") from error


def build_jobs(
    runs: Sequence[PlannedRun], statuses: Sequence[RunStatus], launch: Launch, roots: Mapping[str, str]
) -> list[Job]:
    """Return one job per run; its parents are those that aren't done."""
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
    """Return the number of loader workers of each process of the run: its processors but one."""
    resources = launch.options.resources(run.stage)
    if resources is None:
        return max(available_cpus() // launch.workers - 1, 0)
    return max(resources.cpus_per_process - 1, 0) if resources.gpus_per_node else 0


def create_executor(launch: Launch) -> Executor:
    """Return the executor of a launch.

    Raises
    ------
    InputError
        No executor of that name, or it can't work with the runs directory.
    """
    code = Code(PACKAGES, _version_file, preload=(PRELOADED,))
    folder = executor_folder(launch.executor, launch.runs_directory.absolute())
    return find_executor(launch.executor).create(launch.options, folder, launch.label, code)


def _version_file() -> dict[str, str]:
    commit, dirty = code_version()
    return {CODE_VERSION_FILE: json.dumps({"git_commit": commit, "git_dirty": dirty})}


def run_jobs(executor: Executor, jobs: Sequence[Job], launch: Launch) -> list[Handle]:
    """Submit jobs, show progress and wait for their ends; on ``KeyboardInterrupt``, no job is left running."""
    handles = executor.submit(jobs)
    begun: set[str] = set()

    with show_progress(len(jobs), launch.runs_directory, live=not executor.shares_terminal) as show:

        def on_change(handle: Handle) -> None:
            if handle.state is JobState.RUNNING:
                begun.add(handle.job.id)
            elif handle.job.id in begun:  # a job that never started failed because of its parents
                note_lost_job(handle, launch.runs_directory)
            show(handle)

        executor.wait(handles, on_change)
    return handles

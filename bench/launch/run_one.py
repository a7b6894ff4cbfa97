"""Computes one run without a sweep, in this process or in several processes started by torchrun."""

from __future__ import annotations

import os
from pathlib import Path

from bench.launch.compute_options import check_compute
from bench.launch.jobs import build_jobs, create_executor, data_roots, require_software, write_configs
from bench.launch.options import Launch
from bench.launch.preflight import require_sound_data
from bench.launch.run_sweep import say, start
from bench.plan.graph import PlannedRun
from bench.runs.configs import check_configs
from bench.runs.ends import remove_leftovers, set_aside
from bench.runs.states import statuses
from bench.sweep.errors import InputError
from pretrain.compute import PLAIN, ComputeOptions
from results.metrics import number_or_undefined
from results.record import read_record
from results.runs import RunDirectory, RunState
from slurm.lookup import find_executor


def run_single(
    run: PlannedRun, runs_directory: Path, device: str, data: Path | None, compute: ComputeOptions = PLAIN
) -> int:
    """Compute a run unless it is done, print its metrics, and return the exit status; see ``compute_single``."""
    if ended := compute_single(run, runs_directory, device, data, compute):
        return ended
    if is_first_process():
        print(run.run_id)
        for name, value in read_record(RunDirectory(runs_directory / run.run_id).record).metrics.items():
            print(f"{name}: {number_or_undefined(value, 'g')}")
    return 0


def is_first_process() -> bool:
    """Return whether this process prints for all processes that compute the run."""
    return _processes()[1] == 0


def compute_single(
    run: PlannedRun, runs_directory: Path, device: str, data: Path | None, compute: ComputeOptions = PLAIN
) -> int:
    """Compute a run unless it is done, and return the exit status.

    Parameters
    ----------
    data
        Directory of the dataset that the run reads.
    """
    processes, rank, beside = _processes()
    (status,) = statuses([run], runs_directory)
    if status.own_state is RunState.DAMAGED and rank == 0:
        for line in set_aside([status], runs_directory):
            say(line)
        (left,) = statuses([run], runs_directory)
        if left.own_state is RunState.DAMAGED:
            raise InputError(f"{run.run_id} is damaged: {left.reason}")
    for line in check_configs([] if status.own_state is RunState.DAMAGED else [status], runs_directory):
        say(line)
    if rank == 0:
        remove_leftovers([run], runs_directory)
    # Several processes may read different states, as one can be ahead; they then agree in bench.worker.run_job.
    if status.own_state is RunState.RUNNING and processes == 1:
        say(f"{run.run_id} is running in another process; its numbers are there when it is done")
        return 1
    if status.own_state is RunState.DONE and processes == 1:
        say(f"{run.run_id} is done already")
    else:
        check_compute([run], compute)
        options = find_executor("inline").Options.model_validate({"is_one_of_several": processes > 1})
        launch = Launch(runs_directory, "inline", beside, device, options, compute=compute)
        require_software([run], None)
        given = {} if data is None or run.dataset is None else {run.dataset: str(data)}
        roots = data_roots([run], given, where="the command line")
        if rank == 0:
            require_sound_data([run], roots, announce=say)
        write_configs([run], runs_directory)
        ended = start(build_jobs([run], [], launch, roots), create_executor(launch), launch)
        if ended:
            return ended
    return 0


def _processes() -> tuple[int, int, int]:
    """Return how many processes compute the run, this process's rank, and how many of them are on this machine."""
    count = os.environ.get("WORLD_SIZE", "1")
    if count == "1":
        return 1, 0, 1
    try:
        if "TORCHELASTIC_RUN_ID" in os.environ:
            return int(count), int(os.environ["RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    except (KeyError, ValueError):
        pass
    raise InputError(
        f"WORLD_SIZE is {count}, and torchrun has not started this process: start several processes with torchrun, or"
        " unset WORLD_SIZE to compute in one"
    )

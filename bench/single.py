"""One run on its own, in this process."""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import InputError
from bench.launch import data_roots, find_launch_executor, require_software, write_configs
from bench.launch_options import Launch
from bench.plan import PlannedRun
from bench.session import say, start
from bench.states import statuses
from pretrain.compute import PLAIN, ComputeOptions
from results.record import read_record
from results.runs import RunDirectory, RunState


def run_single(
    run: PlannedRun, runs_directory: Path, device: str, data: Path | None, compute: ComputeOptions = PLAIN
) -> int:
    """Run it unless it is done, and print its metrics; the exit status.

    Parameters
    ----------
    data
        Directory of the dataset the run reads.
    """
    if (processes := os.environ.get("WORLD_SIZE", "1")) != "1":
        raise InputError(
            f"WORLD_SIZE is {processes}: started by hand, a run is one process; --executor slurm starts more"
        )
    (status,) = statuses([run], runs_directory)
    place = RunDirectory(runs_directory / run.run_id)
    if status.own_state is RunState.RUNNING:
        say(f"{run.run_id} is running in another process; its numbers are there when it is done")
        return 1
    if status.own_state is RunState.DONE:
        say(f"{run.run_id} is done already")
    else:
        launch = Launch(runs_directory, "inline", 1, device, compute=compute)
        require_software([run], None)
        given = {} if data is None or run.dataset is None else {run.dataset: str(data)}
        roots = data_roots([run], given, where="the command line")
        write_configs([run], runs_directory)
        ended = start([run], find_launch_executor(launch), launch, roots)
        if ended:
            return ended
    print(run.run_id)
    for name, value in read_record(place.record).metrics.items():
        print(f"{name}: {value:g}")
    return 0

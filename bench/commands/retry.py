"""``opera-bench retry``: start failed and damaged runs again."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import (
    RUNS,
    ClusterOption,
    ComputeOption,
    DeviceOption,
    ExecutorOption,
    RunsOption,
    SetOption,
    SweepArgument,
    TinyOption,
    WorkersOption,
    YesOption,
    sweep_arguments,
)


def retry(
    sweep: SweepArgument,
    failed: Annotated[
        bool,
        typer.Option("--failed", help="Leave cancelled and lost runs alone."),
    ] = False,
    executor: ExecutorOption = "local",
    cluster: ClusterOption = None,
    runs: RunsOption = RUNS,
    set_: SetOption = None,
    tiny: TinyOption = False,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    compute: ComputeOption = None,
    yes: YesOption = False,
) -> None:
    """Start failed, damaged, cancelled and lost runs again.

    Runs that have not started yet start too. A run is lost if it ended without a trace, e.g. because its machine died.
    """
    from bench.launch.options import parse_compute, plan_launch
    from bench.launch.run_sweep import run_sweep
    from bench.sweep.load import load_sweep
    from results.runs import RunState

    again = {RunState.FAILED, RunState.DAMAGED}
    if not failed:
        again |= {RunState.CANCELLED, RunState.UNKNOWN}
    checked = load_sweep(sweep, tuple(set_ or ()), tiny=tiny)
    launch = plan_launch(checked, runs, executor, workers, device, cluster, parse_compute(compute or ()))
    command = sweep_arguments(sweep, runs, tiny=tiny, overrides=set_)
    raise typer.Exit(run_sweep(checked, launch, command=command, retry=frozenset(again), ask=not yes))

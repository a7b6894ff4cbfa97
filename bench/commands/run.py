"""``opera-bench run``: run the unfinished runs of a sweep."""

from __future__ import annotations

import typer

from bench.commands.options import (
    RUNS,
    ClusterOption,
    ComputeOption,
    DeviceOption,
    DryRunOption,
    ExecutorOption,
    RunsOption,
    SetOption,
    SweepArgument,
    TinyOption,
    WorkersOption,
    YesOption,
    sweep_arguments,
)


def run(
    sweep: SweepArgument,
    executor: ExecutorOption = "local",
    cluster: ClusterOption = None,
    runs: RunsOption = RUNS,
    set_: SetOption = None,
    tiny: TinyOption = False,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    compute: ComputeOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Run the unfinished runs of a sweep and show its results.

    The same command continues after Ctrl-C, a crash or a kill. Finished runs are never repeated; failed ones only by
    `opera-bench retry`. With --executor slurm, it submits jobs and returns at once.
    """
    from bench.launch.options import parse_compute, plan_launch
    from bench.launch.run_sweep import run_sweep
    from bench.sweep.load import load_sweep

    checked = load_sweep(sweep, tuple(set_ or ()), tiny=tiny)
    launch = plan_launch(checked, runs, executor, workers, device, cluster, parse_compute(compute or ()))
    command = sweep_arguments(sweep, runs, tiny=tiny, overrides=set_)
    raise typer.Exit(run_sweep(checked, launch, command=command, dry_run=dry_run, ask=not yes))

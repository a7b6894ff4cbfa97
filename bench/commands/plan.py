"""``opera-bench plan``: show the runs of a sweep without writing anything."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import (
    RUNS,
    ClusterOption,
    RunsOption,
    SetOption,
    SweepArgument,
    TinyOption,
    sweep_arguments,
)


def plan(
    sweep: SweepArgument,
    runs: RunsOption = RUNS,
    set_: SetOption = None,
    tiny: TinyOption = False,
    format_: Annotated[str, typer.Option("--format", help="table, json, or sbatch (the batch scripts).")] = "table",
    cluster: ClusterOption = None,
) -> None:
    """Show a sweep's runs, their states and the hours they need.

    Needs no data and writes nothing to the runs directory.
    """
    import sys
    from datetime import UTC, datetime

    from bench.hours.cost import read_costs
    from bench.launch.jobs import ask_software, build_jobs, create_executor, locked_elsewhere, select
    from bench.launch.options import Launch, read_cluster, read_options
    from bench.plan.graph import plan_sweep
    from bench.runs.outputs import status_of_damage
    from bench.runs.sources import STARTED, require_same_sources
    from bench.runs.states import statuses
    from bench.show.plan import describe_resources, summary
    from bench.show.status import FORMATS, check_format, print_json, print_planned_hours, print_runs
    from bench.sweep.load import load_sweep
    from evaluators.parts.availability import recall_availability
    from results.runs import RunState
    from slurm.lookup import preview_formats

    previews = {} if format_ in FORMATS else preview_formats()
    check_format(format_, (*FORMATS, *previews))
    checked = load_sweep(sweep, tuple(set_ or ()), tiny=tiny)
    planned = plan_sweep(checked)
    for note in planned.notes:
        print(note, file=sys.stderr)
    found = statuses(planned.runs, runs)
    require_same_sources([status.run for status in found if status.own_state in STARTED], runs)
    if executor := previews.get(format_):
        options = read_options(executor, checked, cluster)
        launch = Launch(runs, executor, options=options, label=checked.name)
        for text in create_executor(launch).preview(build_jobs(select(found, on_cluster=True), found, launch, {})):
            print(f"\n{text}")
        return
    profile, flags = read_cluster(checked, cluster)
    costs = read_costs(found, runs, profile, datetime.now(UTC))
    if format_ == "json":
        print_json(found, costs)
        raise typer.Exit(status_of_damage(status.state for status in found))
    print_runs(found)
    print(summary(planned))
    if profile is not None:
        print(describe_resources(planned.runs, profile))
    print_planned_hours(costs)
    if profile is None and not any(cost.left for cost in costs):
        print("hours: none measured here yet; --cluster NAME takes a profile's time limits", file=sys.stderr)
    start = sweep_arguments(sweep, runs, tiny=tiny, overrides=set_) + flags
    for stage, answer in ask_software(planned.runs, profile, recall_availability).items():
        what = "not checked" if answer.can_run is None else "can't run here yet"
        print(f"{what}: {stage}: {answer.reason}", file=sys.stderr)
    would_start = select(found, on_cluster=profile is not None, locked=locked_elsewhere(found, runs))
    print(f"{len(planned.runs)} runs, {len(would_start)} would start: opera-bench run {start}")
    damaged = [status for status in found if status.state is RunState.DAMAGED]
    if damaged:
        reason = f"such as {damaged[0].run.run_id}: {damaged[0].reason}"
        again = any(not status.has_other_schema for status in damaged)
        advice = f"\ncompute them again: opera-bench retry {start}" if again else ""
        print(f"{len(damaged)} damaged, {reason}{advice}", file=sys.stderr)
        raise typer.Exit(1)

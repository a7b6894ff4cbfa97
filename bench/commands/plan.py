"""``opera-bench plan``: the graph, without touching anything."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import RUNS, RunsOption, SetOption, SweepArgument, TinyOption, spelt


def plan(
    sweep: SweepArgument,
    runs: RunsOption = RUNS,
    set_: SetOption = None,
    tiny: TinyOption = False,
    format_: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """Show a sweep's runs: what is done and what would start.

    Needs no data and writes nothing.
    """
    from bench.launch import select
    from bench.listing import check_format, print_json, print_runs
    from bench.plan import plan_sweep
    from bench.sharing import summary
    from bench.states import statuses
    from bench.sweep import load_sweep

    check_format(format_)
    planned = plan_sweep(load_sweep(sweep, tuple(set_ or ()), tiny=tiny))
    found = statuses(planned.runs, runs)
    if format_ == "json":
        print_json(found)
    else:
        print_runs(found)
        print(summary(planned))
        print(f"{len(planned.runs)} runs, {len(select(found))} would start: opera-bench run {spelt(sweep, tiny)}")

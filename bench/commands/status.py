"""``opera-bench status``: show the states of runs, their hours, and the next command."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import RUNS, OptionalSweep, RunsOption, SetOption, TinyOption, runs_option, sweep_arguments

SECONDS_BETWEEN_REFRESHES = 2.0


def status(
    sweep: OptionalSweep = None,
    runs: RunsOption = RUNS,
    set_: SetOption = None,
    tiny: TinyOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every two seconds, until Ctrl-C.")] = False,
    format_: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """Show the states of runs, their hours and what to do next.

    Also shows why runs failed or wait. The hours left are estimated from finished runs of the same kind, else from the
    time limits of the sweep's cluster.
    """
    import sys
    import time
    from datetime import UTC, datetime

    from bench.hours.cost import read_costs
    from bench.launch.options import executor_flags, read_cluster
    from bench.plan.graph import PlannedRun, plan_sweep
    from bench.runs.outputs import status_of_damage
    from bench.runs.sources import changed_sources
    from bench.runs.states import runs_on_disk, statuses
    from bench.show.status import check_format, print_json, print_status
    from bench.sweep.load import load_sweep
    from results.runs import RunState
    from slurm.lookup import find_executor, names_in

    check_format(format_)
    checked = None if sweep is None else load_sweep(sweep, tuple(set_ or ()), tiny=tiny)
    planned = None if checked is None else plan_sweep(checked).runs
    profile, flags = read_cluster(checked)
    if profile is None:
        flags = "".join(executor_flags(name, None) + find_executor(name).required_flags for name in names_in(runs)[:1])
    command = None if sweep is None else sweep_arguments(sweep, runs, tiny=tiny, overrides=set_)

    def known_runs() -> tuple[PlannedRun, ...]:
        if planned is not None:
            return planned
        found, problems = runs_on_disk(runs)
        for problem in problems:
            print(problem, file=sys.stderr)
        return found

    while True:
        found = statuses(known_runs(), runs)
        now = datetime.now(UTC)
        costs = read_costs(found, runs, profile, now)
        if watch and format_ == "table":
            print("\033[2J\033[H", end="")
        if format_ == "json":
            print_json(found, costs)
        else:
            print_status(found, costs, command, runs, now, runs_option=runs_option(runs), flags=flags)
        for line in changed_sources((each.run for each in found if each.state is RunState.DONE), runs):
            print(line, file=sys.stderr)
        if not watch:
            raise typer.Exit(status_of_damage(each.state for each in found))
        try:
            time.sleep(SECONDS_BETWEEN_REFRESHES)
        except KeyboardInterrupt:
            return

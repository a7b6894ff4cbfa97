"""``opera-bench status``: where runs stand."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import RUNS, OptionalSweep, RunsOption, SetOption, TinyOption, spelt

SECONDS_BETWEEN_LOOKS = 2.0


def status(
    sweep: OptionalSweep = None,
    runs: RunsOption = RUNS,
    set_: SetOption = None,
    tiny: TinyOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds, until Ctrl-C.")] = False,
    format_: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """Say where runs stand, why some failed and what to do next."""
    import sys
    import time

    from bench.listing import check_format, print_json, print_status
    from bench.plan import PlannedRun, plan_sweep
    from bench.states import runs_on_disk, statuses
    from bench.sweep import load_sweep

    check_format(format_)
    planned = None if sweep is None else plan_sweep(load_sweep(sweep, tuple(set_ or ()), tiny=tiny)).runs

    def known_runs() -> tuple[PlannedRun, ...]:
        if planned is not None:
            return planned
        found, problems = runs_on_disk(runs)
        for problem in problems:
            print(f"skipped: {problem}", file=sys.stderr)
        return found

    while True:
        found = statuses(known_runs(), runs)
        if watch and format_ == "table":
            print("\033[2J\033[H", end="")
        if format_ == "json":
            print_json(found)
        else:
            print_status(found, None if sweep is None else spelt(sweep, tiny), runs)
        if not watch:
            return
        try:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        except KeyboardInterrupt:
            return

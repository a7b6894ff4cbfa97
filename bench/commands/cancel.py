"""``opera-bench cancel``: stop the queued and running runs of a sweep, or one run."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import RUNS, RunsOption, SetOption, TinyOption


def cancel(
    what: Annotated[str, typer.Argument(metavar="SWEEP|RUN_ID", help="A sweep, or one run by its id.")],
    runs: RunsOption = RUNS,
    set_: SetOption = None,
    tiny: TinyOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Cancel without asking.")] = False,
) -> None:
    """Stop unfinished runs, after naming them.

    Runs that another sweep asked for as well are left alone; `opera-bench retry SWEEP` starts cancelled ones again.
    """
    from bench.launch.cancel import cancel_runs, choose

    raise typer.Exit(cancel_runs(choose(what, runs, tuple(set_ or ()), tiny=tiny), runs, ask=not yes))

"""``opera-bench cancel``: stop the queued and running runs of a sweep, or one run."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import RUNS, RunsOption, SetOption, TinyOption


def cancel(
    what: Annotated[str, typer.Argument(metavar="SWEEP|RUN_ID", help="A sweep, or the id of one run.")],
    runs: RunsOption = RUNS,
    set_: SetOption = None,
    tiny: TinyOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before cancelling.")] = False,
) -> None:
    """Stop the unfinished runs of a sweep, or one run.

    Lists the runs and asks first. A run that another sweep needs too goes on. `opera-bench retry SWEEP` starts
    cancelled runs again.
    """
    from bench.launch.cancel import cancel_runs, choose

    raise typer.Exit(cancel_runs(choose(what, runs, tuple(set_ or ()), tiny=tiny), runs, ask=not yes))

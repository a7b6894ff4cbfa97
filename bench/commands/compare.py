"""``opera-bench compare``: compare methods with a baseline, run by run."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import RUNS, OptionalSweep, RunsOption, SetOption, TinyOption


def compare(
    sweep: OptionalSweep = None,
    baseline: Annotated[str, typer.Option(help="The method that the others are compared with.")] = "moco_v3",
    method: Annotated[str | None, typer.Option(help="Compare only this method. Default: all others.")] = None,
    runs: RunsOption = RUNS,
    set_: SetOption = None,
    tiny: TinyOption = False,
    format_: Annotated[
        str | None, typer.Option("--format", help="md, csv or json. Default: text on a terminal, else md.")
    ] = None,
) -> None:
    """Compare methods with a baseline, run by run.

    Two runs are a pair if they differ only in the method. Prints the mean difference, its 95 % interval and a p value.
    """
    import sys

    from bench.plan.graph import plan_sweep
    from bench.runs.outputs import status_of_damage, warn
    from bench.runs.states import load_with_executors
    from bench.sweep.load import load_sweep
    from results.compare import compare as compare_variants
    from results.compare import render_comparison, variants
    from results.frame import to_frame

    ids = None if sweep is None else plan_sweep(load_sweep(sweep, tuple(set_ or ()), tiny=tiny)).run_ids
    store = load_with_executors(runs, ids)
    warn(store.problems)
    frame = to_frame(store.runs)
    output_format = format_ or ("terminal" if sys.stdout.isatty() else "md")
    others = [name for name in variants(frame) if name != baseline]
    for name in [method] if method else others or [baseline]:
        print(render_comparison(compare_variants(frame, name, baseline), output_format))
    raise typer.Exit(status_of_damage(run.state for run in store.runs))

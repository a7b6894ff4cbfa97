"""``opera-bench figures``: write figures and the numbers in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import RUNS, OnlySweep, RunsOption, SetOption, TinyOption


def figures(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="FIGURE", help="Default: the figures of --sweep, else all figures.")
    ] = None,
    runs: RunsOption = RUNS,
    sweep: OnlySweep = None,
    set_: SetOption = None,
    tiny: TinyOption = False,
    format_: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory to write to.")] = Path("figures"),
) -> None:
    """Write figures, each with its numbers as CSV."""
    from bench.runs.outputs import select_runs, status_of_damage, warn, write_figures
    from bench.runs.states import load_with_executors
    from results.figures import figure_names, find_figure

    for name in names or ():
        find_figure(name)
    chosen = select_runs(sweep, tuple(set_ or ()), tiny=tiny)
    asked = names or chosen.figures
    store = load_with_executors(runs, chosen.run_ids)
    warn(store.problems)
    written = write_figures(asked or figure_names(), store, out, (format_,))
    for path in written:
        print(path)
    made = {path.stem for path in written}
    is_incomplete = not made or any(name not in made for name in asked)  # write_figures has printed why
    raise typer.Exit(1 if is_incomplete else status_of_damage(run.state for run in store.runs))

"""``opera-bench figures``: pictures and the numbers in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import RUNS, RunsOption


def figures(
    names: Annotated[list[str] | None, typer.Argument(metavar="FIGURE", help="All figures without it.")] = None,
    runs: RunsOption = RUNS,
    format_: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go.")] = Path("figures"),
) -> None:
    """Write figures, each with its numbers as CSV."""
    from bench.outputs import warn, write_figures
    from bench.states import load_with_executors
    from results.figures import figure_names, find_figure

    for name in names or ():
        find_figure(name)
    store = load_with_executors(runs)
    warn(store.problems)
    written = write_figures(names or figure_names(), store, out, (format_,))
    for path in written:
        print(path)
    made = {path.stem for path in written}
    if not made or any(name not in made for name in names or ()):
        raise typer.Exit(1)  # the notes say which could not be made, and why

"""``opera-bench tables``: ours beside the paper's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import RUNS, RunsOption


def tables(
    names: Annotated[list[str] | None, typer.Argument(metavar="TABLE", help="All tables without it.")] = None,
    runs: RunsOption = RUNS,
    format_: Annotated[
        str | None, typer.Option("--format", help="md, tex, csv, html or json; without it, for the eye.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write files here.")] = None,
    paper: Annotated[bool, typer.Option("--paper", help="The published numbers alone.")] = False,
) -> None:
    """Print tables: our numbers beside the published ones."""
    from bench.outputs import print_table, warn, write_tables
    from results.declarations import published_table_names, table_names
    from results.render import render_table
    from results.tables import build_table, paper_table

    wanted = names or list(published_table_names() if paper else table_names())
    if paper:
        built = [paper_table(name) for name in wanted]
    else:
        from bench.states import ask_executors
        from results.index import load_rows
        from results.tables import RunRows

        rows, problems = load_rows(runs, told=ask_executors(runs))
        warn(problems)
        made_ready = RunRows(rows)
        built = [build_table(name, made_ready) for name in wanted]
    if out is not None:
        for path in write_tables(built, out, (format_ or "md",)):
            print(path)
        return
    for table in built:
        if format_ is None:
            print_table(table)
        else:
            print(render_table(table, format_), end="")

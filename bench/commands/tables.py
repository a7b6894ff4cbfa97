"""``opera-bench tables``: print our numbers beside the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import RUNS, OnlySweep, RunsOption, SetOption, TinyOption


def tables(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="TABLE", help="Default: the tables of --sweep, else all tables.")
    ] = None,
    runs: RunsOption = RUNS,
    sweep: OnlySweep = None,
    set_: SetOption = None,
    tiny: TinyOption = False,
    format_: Annotated[
        str | None, typer.Option("--format", help="md, tex, csv, html or json. Default: text, or md with --out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write files here instead of printing.")] = None,
    paper: Annotated[bool, typer.Option("--paper", help="Show the published numbers alone.")] = False,
) -> None:
    """Print tables with our numbers beside the published ones."""
    from bench.runs.outputs import print_table, refuse_sweep, select_runs, status_of_damage, warn, write_tables
    from results.declarations import published_table_names, table_names
    from results.render import render_table
    from results.tables import build_table, paper_table

    for name in names or ():
        refuse_sweep(name)
    chosen = select_runs(sweep, tuple(set_ or ()), tiny=tiny)
    empty: list[str] = []
    status = 0
    if paper:
        built = [paper_table(name) for name in names or published_table_names()]
    else:
        from bench.runs.executors import ask_executors
        from results.index import load_rows
        from results.tables import RunRows

        rows, problems = load_rows(runs, chosen.run_ids, answers=ask_executors(runs))
        warn(problems)
        status = status_of_damage(row["state"] for row in rows)
        made_ready = RunRows(rows)
        asked = names or chosen.tables
        built = [build_table(name, made_ready) for name in asked or table_names()]
        empty = [table.id for table in built if asked and not table.has_runs]
    if out is not None:
        for path in write_tables(built, out, (format_ or "md",)):
            print(path)
    else:
        for table in built:
            if format_ is None:
                print_table(table)
            else:
                print(render_table(table, format_), end="")
    if empty:
        warn(f"table {name}: no run in {runs} belongs to it" for name in empty)
        status = 1
    raise typer.Exit(status)

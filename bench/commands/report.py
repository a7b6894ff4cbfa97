"""``opera-bench report``: write the HTML report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import RUNS, OptionalSweep, RunsOption, SetOption, TinyOption, runs_option, sweep_arguments


def report(
    sweep: OptionalSweep = None,
    runs: RunsOption = RUNS,
    set_: SetOption = None,
    tiny: TinyOption = False,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")] = Path("report.html"),
) -> None:
    """Write one HTML page: progress, tables, figures, provenance."""
    from bench.plan.graph import plan_sweep
    from bench.runs.outputs import status_of_damage, warn, write_report_page
    from bench.runs.states import load_with_executors
    from bench.sweep.load import load_sweep

    checked = None if sweep is None else load_sweep(sweep, tuple(set_ or ()), tiny=tiny)
    store = load_with_executors(runs, None if checked is None else plan_sweep(checked).run_ids)
    warn(store.problems)
    if not store.runs:
        what = "SWEEP" + runs_option(runs) if sweep is None else sweep_arguments(sweep, runs, tiny=tiny, overrides=set_)
        warn([f"{runs} holds no run{'' if checked is None else f' of {checked.name}'}: opera-bench run {what}"])
        raise typer.Exit(1)
    write_report_page(checked, store, out)
    print(out)
    raise typer.Exit(status_of_damage(run.state for run in store.runs))

"""``opera-bench doctor``: check this machine and this installation."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import RUNS, RunsOption


def doctor(
    runs: RunsOption = RUNS,
    sweep: Annotated[str | None, typer.Option(metavar="SWEEP", help="Also check this sweep's data.")] = None,
) -> None:
    """Check versions, devices, packages, write access and data.

    Exits with status 1 if something is wrong.
    """
    from rich.console import Console
    from rich.text import Text

    from bench.show.doctor import diagnose
    from bench.sweep.load import load_sweep

    findings = diagnose(runs, load_sweep(sweep).file.data if sweep else {})
    console = Console(soft_wrap=True)
    for finding in findings:
        mark, style = {True: ("ok", "green"), False: ("wrong", "red"), None: ("–", "dim")}[finding.well]
        console.print(Text(f"{mark:6}", style=style) + Text(f"{finding.subject}: {finding.detail}"))
    if any(finding.well is False for finding in findings):
        raise typer.Exit(1)

"""Runs and their states, for a person or for a program."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.display import last_progress
from bench.errors import InputError
from bench.states import RunStatus
from pretrain.plugins import suggest
from results.runs import RunDirectory, RunState

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = ("table", "json")
PLAN_FORMATS = ("table", "json", "sbatch")
WIDE = 250
_STYLES = {
    RunState.DONE: "green",
    RunState.RUNNING: "cyan",
    RunState.FAILED: "red",
    RunState.CANCELLED: "yellow",
    RunState.UNKNOWN: "yellow",
}


def check_format(name: str, formats: tuple[str, ...] = FORMATS) -> None:
    """Refuse a format there is not.

    Raises
    ------
    InputError
        The message lists the formats.
    """
    if name not in formats:
        raise InputError(f"--format {name}: unknown format; {suggest(name, formats)}")


def wide_console() -> Console:
    """A console that fits a terminal, and folds nothing for a file or a pipe."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=WIDE)


def print_json(found: Sequence[RunStatus]) -> None:
    """The stable form: ``{"jobs": [{"run_id", "stage", "state", "parents", …}]}``."""
    print(json.dumps({"jobs": [status.as_json() for status in found]}, indent=2, ensure_ascii=False))


def print_runs(found: Sequence[RunStatus]) -> None:
    """One line a run."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("state", no_wrap=True)
    table.add_column("run", overflow="fold")
    table.add_column("what", overflow="fold")
    for status in found:
        state = Text(status.state.value, style=_STYLES.get(status.state, ""))
        table.add_row(state, Text(status.run.run_id), Text(status.run.title))
    wide_console().print(table)


def print_status(found: Sequence[RunStatus], sweep: str | None, directory: Path) -> None:
    """Counts by stage and state, why runs failed, what is running, and the next command."""
    from rich.table import Table
    from rich.text import Text

    states = [state for state in RunState if any(status.state is state for status in found)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    for state in states:
        table.add_column(Text(state.value, style=_STYLES.get(state, "")), justify="right")
    counts = Counter((status.run.stage, status.state) for status in found)
    for stage in dict.fromkeys(status.run.stage for status in found):
        table.add_row(stage, *(str(counts[stage, state] or "–") for state in states))
    console = wide_console()
    console.print(table)
    for status in found:
        row = last_progress(RunDirectory(directory / status.run.run_id))
        if status.state is RunState.RUNNING and row:
            line = f"running {status.run.run_id}: epoch {row['epoch']:.1f} of {row['total_epochs']:g}"
            console.print(Text(line, style="cyan"))
        elif status.state in (RunState.FAILED, RunState.UNKNOWN):
            console.print(Text(f"{status.state.value} {status.run.run_id}: {status.reason}", style="red"))
    pending = Counter(s.reason.partition(": ")[2] for s in found if s.own_state is RunState.WAITING and s.reason)
    for why, count in pending.most_common():
        console.print(Text(f"{count} pending in SLURM: {why}", style="yellow"))
    print(next_step(found, sweep))


def next_step(found: Sequence[RunStatus], sweep: str | None) -> str:
    """One sentence: what to type next."""
    name = sweep or "SWEEP"
    own_failures = [status for status in found if status.own_state is RunState.FAILED]
    if not found:
        return "no runs yet: opera-bench run SWEEP"
    if own_failures:
        first = own_failures[0].run.run_id
        return f"see why: opera-bench logs {first}\ntry again: opera-bench retry {name}"
    if any(status.state is RunState.RUNNING for status in found):
        return f"running; follow with: opera-bench status {name} --watch"
    if all(status.state is RunState.DONE for status in found):
        return f"all done: opera-bench report{f' {sweep}' if sweep else ''}"
    return f"next: opera-bench run {name}"

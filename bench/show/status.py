"""Prints runs, their states and hours, as tables or as JSON."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.hours.cost import RunCost, expected_end
from bench.hours.estimate import Basis, Unit
from bench.launch.progress import last_progress
from bench.runs.states import RunStatus
from bench.sweep.errors import InputError
from pretrain.plugins import suggest
from results.runs import RunDirectory, RunState
from slurm.lookup import open_executors

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = ("table", "json")
WIDE = 250
SHOWN_HOURS = 0.005
"""Hours below this would print as 0.00 and are left out."""
MOST_JOBS_NAMED = 10
_HOURS = ("charged", "computing", "left")
"""Attributes of ``RunCost`` and headings of columns. Charged hours exceed computing: they span a job's start to end."""
_STYLES = {
    RunState.DONE: "green",
    RunState.RUNNING: "cyan",
    RunState.FAILED: "red",
    RunState.CANCELLED: "yellow",
    RunState.UNKNOWN: "yellow",
    RunState.DAMAGED: "red",
}


def check_format(name: str, formats: tuple[str, ...] = FORMATS) -> None:
    """Check that ``name`` is one of ``formats``.

    Raises
    ------
    InputError
        Unknown format; the message lists all formats.
    """
    if name not in formats:
        raise InputError(f"--format {name}: unknown format; {suggest(name, formats)}")


def wide_console() -> Console:
    """Return a console as wide as the terminal, or ``WIDE`` columns wide for a file or pipe."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=WIDE)


def print_json(statuses: Sequence[RunStatus], costs: Sequence[RunCost]) -> None:
    """Print runs as JSON: ``{"jobs": [{"run_id", "stage", "state", "parents", …}]}``; the keys don't change."""
    jobs = [{**status.as_json(), **cost.as_json()} for status, cost in zip(statuses, costs, strict=True)]
    print(json.dumps({"jobs": jobs}, indent=2, ensure_ascii=False))


def print_runs(statuses: Sequence[RunStatus]) -> None:
    """Print one line per run."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("state", no_wrap=True)
    table.add_column("run", overflow="fold")
    table.add_column("what", overflow="fold")
    for status in statuses:
        state = Text(status.state.value, style=_STYLES.get(status.state, ""))
        table.add_row(state, Text(status.run.run_id), Text(status.run.title))
    wide_console().print(table)


def print_planned_hours(costs: Sequence[RunCost]) -> None:
    """Print the hours that unfinished runs will take, by stage, and their source; nothing if no hours are known."""
    from rich.table import Table

    columns = [column for column in _hour_columns(costs) if column[1] == "left"]
    unfinished = [cost for cost in costs if cost.left != 0 or cost.basis is not None]
    if not columns:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    table.add_column("to run", justify="right")
    for unit, _ in columns:
        table.add_column(unit.value, justify="right")
    table.add_column("from")
    for name, part in _by_stage(unfinished):
        bases = [basis.value for basis in Basis if any(cost.basis is basis for cost in part)]
        hours = [_hours(part, *column) for column in columns]
        table.add_row(name, str(len(part)), *hours, " and ".join(bases) or "–")
    wide_console().print(table)


def print_status(
    statuses: Sequence[RunStatus],
    costs: Sequence[RunCost],
    sweep: str | None,
    directory: Path,
    now: datetime,
    *,
    runs_option: str = "",
    flags: str = "",
) -> None:
    """Print counts and hours by stage, running epochs, reasons of failures, pending jobs, and the next command.

    Parameters
    ----------
    sweep, runs_option, flags
        As for ``next_step``.
    """
    from rich.table import Table
    from rich.text import Text

    states = [state for state in RunState if any(status.state is state for status in statuses)]
    columns = _hour_columns(costs)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    for state in states:
        table.add_column(Text(state.value, style=_STYLES.get(state, "")), justify="right")
    for unit, what in columns:
        table.add_column(f"{unit.value} {what}", justify="right")
    counts = Counter((status.run.stage, status.state) for status in statuses)
    counts.update(("total", status.state) for status in statuses)
    for name, part in _by_stage(costs):
        if name != "total" or columns:
            numbers = (str(counts[name, state] or "–") for state in states)
            table.add_row(name, *numbers, *(_hours(part, *column) for column in columns))
    console = wide_console()
    console.print(table)
    if end := expected_end(statuses, costs, now):
        limits = any(cost.basis is Basis.PROFILE for cost in costs)
        condition = ", if every run takes the whole time limit of its profile, once" if limits else ""
        console.print(f"expected end: {end.astimezone():%Y-%m-%d %H:%M}{condition}")
    for status in statuses:
        row = last_progress(RunDirectory(directory / status.run.run_id))
        if status.state is RunState.RUNNING and row:
            line = f"running {status.run.run_id}: epoch {row['epoch']:.1f} of {round(row['total_epochs'], 1):g}"
            console.print(Text(line, style="cyan"))
        elif status.state in (RunState.FAILED, RunState.UNKNOWN, RunState.DAMAGED):
            console.print(Text(f"{status.state.value} {status.run.run_id}: {status.reason}", style="red"))
        elif status.state is RunState.PLANNED and status.reason:
            console.print(Text(f"{status.run.run_id}: {status.reason}", style="yellow"))
    queued = [status for status in statuses if status.own_state is RunState.WAITING and status.report is not None]
    pending = Counter((s.report.executor, s.report.waits_for) for s in queued if s.report and s.held_job is None)
    for (executor, why), count in pending.most_common():
        console.print(Text(f"{count} pending in {executor}{why and f': {why}'}", style="yellow"))
    held = [status for status in queued if status.held_job is not None]
    for status in held[:MOST_JOBS_NAMED]:
        console.print(Text(f"held {status.run.run_id}: {status.reason}", style="red"))
    if len(held) > MOST_JOBS_NAMED:
        console.print(Text(f"held: {len(held) - MOST_JOBS_NAMED} more", style="red"))
    for line in _release_commands(held, directory):
        print(line)
    print(next_step(statuses, sweep, runs_option, flags))


def _release_commands(held: Sequence[RunStatus], directory: Path) -> Iterable[str]:
    """Yield, for each executor that holds jobs, a line with the command that releases them."""
    for executor in open_executors(directory) if held else ():
        theirs = [status for status in held if status.report and status.report.executor == executor.title]
        if theirs:
            command = executor.release_command([str(status.held_job) for status in theirs])
            what = "1 job" if len(theirs) == 1 else f"{len(theirs)} jobs"
            yield f"{executor.title} holds {what} until somebody types: {command}"


def _by_stage(costs: Sequence[RunCost]) -> Iterable[tuple[str, Sequence[RunCost]]]:
    """Yield the costs of each stage and, if there are several stages, of all as ``total``."""
    stages = dict.fromkeys(cost.stage for cost in costs)
    for stage in stages:
        yield stage, [cost for cost in costs if cost.stage == stage]
    if len(stages) > 1:
        yield "total", costs


def _hour_columns(costs: Sequence[RunCost]) -> list[tuple[Unit, str]]:
    """(unit, attribute) of each column of hours whose sum is at least ``SHOWN_HOURS``."""
    return [(unit, what) for unit in Unit for what in _HOURS if _sum(costs, unit, what) >= SHOWN_HOURS]


def _sum(costs: Sequence[RunCost], unit: Unit, what: str) -> float:
    return sum(getattr(cost, what) or 0.0 for cost in costs if cost.unit is unit)


def _hours(costs: Sequence[RunCost], unit: Unit, what: str) -> str:
    """Return the sum of hours: ``12.5``, ``>12.5`` if some runs are unknown, ``–`` for none."""
    known = _sum(costs, unit, what)
    unknown = any(getattr(cost, what) is None for cost in costs)
    if known < SHOWN_HOURS:
        return "–"
    return f"{'>' if unknown else ''}{known:,.{1 if known >= 10 else 2}f}"


def next_step(statuses: Sequence[RunStatus], sweep: str | None, runs_option: str = "", flags: str = "") -> str:
    """Return the commands to type next, in one or two lines.

    Parameters
    ----------
    sweep
        The sweep and its options as typed, with ``runs_option``.
    runs_option
        The `` --runs …`` part to repeat in commands, with a leading space; '' for the default directory.
    flags
        The `` --executor …`` part for commands that start runs, with a leading space, or ''.
    """
    name = sweep or f"SWEEP{runs_option}"
    start = name + flags
    own_failures = [status for status in statuses if status.own_state in (RunState.FAILED, RunState.DAMAGED)]
    if not statuses:
        return f"no runs yet: opera-bench run SWEEP{runs_option}"
    if own_failures:
        first = own_failures[0].run.run_id
        why = f"see why: opera-bench logs {first}{runs_option}"
        if all(status.has_other_schema for status in own_failures):
            return why
        return f"{why}\ntry again: opera-bench retry {start}"
    queued = [status for status in statuses if status.own_state is RunState.WAITING]
    planned = (status for status in statuses if status.own_state is RunState.PLANNED)
    if queued and (left := sum(status.state is not RunState.FAILED for status in planned)):
        where = queued[0].report.executor if queued[0].report else "the executor"
        submit = f"submit the rest with: opera-bench run {start}"
        return f"{left} runs are not with {where} yet: the queue was full; {submit}"
    running = any(status.state is RunState.RUNNING for status in statuses)
    if running or queued:
        return f"{'running' if running else 'queued'}; follow with: opera-bench status {name} --watch"
    if any(status.state is RunState.PLANNED for status in statuses):
        return f"next: opera-bench run {start}"
    for state, word in ((RunState.CANCELLED, "cancelled"), (RunState.UNKNOWN, "lost")):
        if any(status.own_state is state for status in statuses):
            return f"start {word} runs again: opera-bench retry {start}"
    if all(status.state is RunState.DONE for status in statuses):
        return f"all done: opera-bench report{f' {sweep}' if sweep else runs_option}"
    return f"next: opera-bench run {start}"

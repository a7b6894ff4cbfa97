"""Prints the table of ``opera-bench evaluate all``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.plan.graph import PlannedRun
from bench.show.status import wide_console
from results.metrics import number_or_undefined
from results.record import read_record
from results.runs import RunDirectory


def print_protocols(done: Mapping[str, PlannedRun], refused: Mapping[str, str], runs: Path) -> None:
    """Print one line per protocol and metric, and the reasons of protocols without a result."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("protocol", "metric", "value", "recipe", "run"):
        table.add_column(title, overflow="fold", justify="right" if title == "value" else "left")
    for name, run in done.items():
        for label, value in _shown_metrics(RunDirectory(runs / run.run_id)):
            table.add_row(name, label, value, run.config["evaluator"]["recipe"]["id"], run.run_id)
    for name, reason in refused.items():
        table.add_row(name, reason, "–", "", "")
    wide_console().print(table)


def _shown_metrics(run: RunDirectory) -> Iterator[tuple[str, str]]:
    """Yield label and value of a run's headline metrics, or of all if it has none."""
    record = read_record(run.record)
    declared = record.declared()
    headline = [name for name in record.metrics if declared[name].headline]
    for name in headline or record.metrics:
        metric = declared[name]
        unit = f" {metric.unit}" if metric.unit else ""
        yield metric.label, f"{number_or_undefined(record.metrics[name], f'.{metric.decimals}f')}{unit}"

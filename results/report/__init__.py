"""Writes the report: one HTML page with a sweep's tables, comparisons, figures and runs.

The page loads nothing: figures are inline SVG, contact sheets are data URLs, and a content security policy in the head
forbids other sources. All content is readable without scripts; scripts only sort and filter the tables.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.compare.formats import cells, header, heading, notes, unpaired_lines
from results.compare.pairing import Comparison, compare
from results.errors import InputError
from results.figures import find_figure
from results.figures._style import method_order
from results.figures._svg import inline_svg
from results.frame import to_frame
from results.reference import load_methods
from results.report.numbers import linked_table
from results.report.progress import duration, progress, summary
from results.report.runs import contact_sheets, describe_run, facts_by_run, failures, last_log_lines
from results.runs import write_atomically
from results.store import Run, Store
from results.tables import Table
from results.variants import variants

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Template

__all__ = ["duration", "last_log_lines", "render_report", "write_report"]


def write_report(store: Store, tables: Iterable[Table], figures: Iterable[str], out_path: Path, title: str) -> None:
    """Write the report to ``out_path``.

    Parameters
    ----------
    tables
        Tables of ``results.tables.build_table``.
    figures
        Names of figures. If a figure can't be drawn yet, the page gives the reason.

    Raises
    ------
    InputError
        A figure is unknown, or ``out_path`` can't be written.
    """
    page = render_report(store, tables, figures, title)
    try:
        out_path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out_path, page)
    except OSError as error:
        raise InputError(f"{out_path}: the report can't be written there ({error.strerror})") from error


def render_report(store: Store, tables: Iterable[Table], figures: Iterable[str], title: str) -> str:
    """Return the report as HTML text."""
    frame = to_frame(store.runs)
    facts = facts_by_run(frame)
    return page_template().render(
        title=title,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        summary=summary(store.runs, frame),
        progress=progress(store.runs),
        problems=store.problems,
        tables=[linked_table(table, frame) for table in tables],
        comparisons=[_comparison(comparison) for comparison in _comparisons(frame)],
        baseline=load_methods().baseline,
        figures=[_figure(name, store.runs, frame) for name in figures],
        sheets=contact_sheets(store.runs, facts),
        failures=failures(store.runs),
        runs=[describe_run(run, facts[run.run_id]) for run in store.runs],
        known={run.run_id for run in store.runs},
    )


@functools.cache
def page_template() -> Template:
    """Return the compiled template of the report."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("results"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def _comparisons(frame: pd.DataFrame) -> list[Comparison]:
    """Return the comparisons of every variant with the baseline: our method first, those without pairs last."""
    labels, baseline, ours = variants(frame), load_methods().baseline, load_methods().ours
    if baseline not in labels:
        return []
    others = sorted((label for label in labels if label != baseline), key=lambda v: (v != ours, method_order(v)))
    found = (compare(frame, label, baseline) for label in others)
    return sorted(found, key=lambda comparison: not comparison.groups)


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "heading": heading(comparison),
        "header": header(comparison),
        "rows": [cells(comparison, group) for group in comparison.groups],
        "notes": notes(comparison),
        "unpaired": unpaired_lines(comparison),
    }


def _figure(name: str, runs: Sequence[Run], frame: pd.DataFrame) -> dict[str, Any]:
    module = find_figure(name)
    described = {"name": name, "title": module.TITLE, "caption": module.CAPTION}
    try:
        numbers = module.data(runs, frame)
        csv = numbers.to_csv(index=False, float_format="%.6g")
        return {**described, "svg": inline_svg(name, runs, frame), "csv": csv, "why_not": None}
    except InputError as error:
        return {**described, "svg": None, "csv": None, "why_not": str(error)}

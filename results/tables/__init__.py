"""Builds tables: for each cell our number, the published number and their difference. ``results.render`` prints them.

A cell averages only runs that differ in nothing but the seed. If the runs that match a cell's query differ in anything
else (dataset fingerprint, recipe, any setting), the cell is ``mixed``, has no number, and its reason names the
differences. Each run and each seed counts once: of two runs with one seed, the run whose id sorts first is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from results.declarations import (
    Declaration,
    PaperDeclaration,
    find_declaration,
    published_table_names,
    table_names,
)
from results.errors import InputError
from results.reference import Reference, load_reference
from results.tables.cell import fill
from results.tables.emphasis import emphasise
from results.tables.layout import Layout, lay_out
from results.tables.miniature import miniature
from results.tables.model import Cell, Row, Table
from results.tables.notes import notes_for, notes_for_paper
from results.tables.rows import RunRows

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Cell",
    "Row",
    "RunRows",
    "Table",
    "build_table",
    "find_declaration",
    "paper_table",
    "published_table_names",
    "table_names",
]


def build_table(
    declaration: Declaration | str, runs: pd.DataFrame | RunRows, reference: Reference | None = None
) -> Table:
    """Fill a declared table from a frame of ``results.frame``.

    If no run fills a cell of a published table, but runs of ``--tiny`` fill cells of its miniature, the miniature is
    built, see ``results.tables.miniature``.

    Parameters
    ----------
    declaration
        A declaration, the name of one, or the path of its file.
    runs
        The frame, or its ``RunRows``, which several tables can share.
    reference
        The published numbers; the OPERA paper's by default.

    Raises
    ------
    InputError
        Unknown table name, or a declaration that contradicts itself or its reference.
    """
    if isinstance(declaration, str):
        declaration = find_declaration(declaration)
    reference = reference or load_reference()
    rows = runs if isinstance(runs, RunRows) else RunRows(runs)
    layout = lay_out(declaration, reference)
    if isinstance(declaration, PaperDeclaration) and not _has_runs(layout, rows):
        small = miniature(declaration, reference, rows)
        layout = small if _has_runs(small, rows) else layout
    filled = (Row(row.labels, tuple(fill(slot, rows) for slot in row.slots), row.published_by) for row in layout.rows)
    table = _table(layout, filled)
    return replace(table, notes=notes_for(table, layout))


def paper_table(name: str, reference: Reference | None = None) -> Table:
    """Return the table of published numbers alone, with rows, columns and digits as printed.

    Bold follows the paper's stated rule, not its print.

    Raises
    ------
    InputError
        Unknown table name, or a table without published numbers.
    """
    declaration = find_declaration(name)
    if not isinstance(declaration, PaperDeclaration):
        raise InputError(
            f"table {name!r} has no published numbers; those that have: {', '.join(published_table_names())}"
        )
    layout = lay_out(declaration, reference or load_reference())
    rows = (
        Row(row.labels, tuple(Cell("published", published=slot.published) for slot in row.slots))
        for row in layout.rows
        if row.published_by == "paper"
    )
    table = _table(layout, rows, published_only=True)
    return replace(table, notes=notes_for_paper(table, layout))


def _table(layout: Layout, rows: Iterable[Row], *, published_only: bool = False) -> Table:
    """Return a table of filled rows with its marks, without notes."""
    table = Table(
        id=layout.id,
        title=layout.title,
        caption=layout.caption,
        source=layout.source,
        labels=layout.labels,
        columns=layout.columns,
        rows=tuple(rows),
        published_only=published_only,
    )
    return emphasise(table, layout.baseline, layout.ours, _metrics(layout))


def _has_runs(layout: Layout, rows: RunRows) -> bool:
    queries = (slot.query for row in layout.rows for slot in row.slots if slot.query is not None)
    return any(map(rows.matching, queries))


def _metrics(layout: Layout) -> list[str | None]:
    """Return the metric of each column; None if the column's cells have several metrics or no query."""
    metrics: list[set[str]] = [set() for _ in layout.columns]
    for row in layout.rows:
        for column, slot in zip(metrics, row.slots, strict=True):
            if slot.query is not None:
                column.add(str(slot.query.get("metric")))
    return [column.pop() if len(column) == 1 else None for column in metrics]

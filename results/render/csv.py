"""Prints tables as comma-separated values."""

from __future__ import annotations

import csv
import io

from results.tables.model import Cell, Table


def render(table: Table) -> str:
    """``table`` as CSV, numbers unrounded.

    A table of published numbers alone keeps the published columns. In other tables, each measured column ``X`` becomes
    ``X`` (our mean), ``X ±``, ``X n``, then, if the table has published numbers, ``X paper`` and ``X Δ``, then
    ``X state``.
    """
    with_paper = table.source is not None
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = list(table.labels)
    for column in table.columns:
        header += [column] if table.published_only else _header(column, with_paper)
    writer.writerow(header)
    for row in table.rows:
        line: list[str | int | float | None] = list(row.labels)
        for cell in row.cells:
            line += [cell.published] if table.published_only else _values(cell, with_paper)
        writer.writerow(line)
    return buffer.getvalue()


def _header(column: str, with_paper: bool) -> list[str]:
    paper = [f"{column} paper", f"{column} Δ"] if with_paper else []
    return [column, f"{column} ±", f"{column} n", *paper, f"{column} state"]


def _values(cell: Cell, with_paper: bool) -> list[str | int | float | None]:
    paper = [cell.published, cell.difference] if with_paper else []
    return [cell.mean, cell.standard_error, cell.n, *paper, cell.state]

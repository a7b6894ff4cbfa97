"""Comma-separated values: the paper's own header and cells, or ours with a column for everything a cell holds."""

from __future__ import annotations

import csv
import io

from results.tables.model import Cell, Table


def render(table: Table) -> str:
    """With the paper alone, exactly its table. Otherwise, per measured column ``X``: ``X`` (our mean), ``X ±``,
    ``X n``, ``X paper`` and ``X Δ`` where there are published numbers, and ``X state``; numbers unrounded.
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

"""Links each number of a report's table to the runs it was averaged from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from results.render.html import render
from results.tables.model import Cell, Row, Table

if TYPE_CHECKING:
    import pandas as pd


def linked_table(table: Table, frame: pd.DataFrame) -> dict[str, Any]:
    """Return ``html``, the table with a link on each number, and ``numbers``, the linked lists of runs."""
    keys = ("run_id", "metric", "value", "seed")
    measured = {(run, name): (value, seed) for run, name, value, seed in zip(*(frame[k] for k in keys), strict=True)}
    numbers: list[dict[str, Any]] = []
    anchors: dict[tuple[int, str], str] = {}
    for index, row in enumerate(table.rows):
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell.mean is None or cell.metric is None:
                continue
            anchor = f"number-{table.id}-{index}-{table.columns.index(column)}"
            anchors[id(row), column] = anchor
            runs = [(run_id, *measured[run_id, cell.metric]) for run_id in cell.run_ids]
            numbers.append(_number(anchor, table, row, column, cell, runs))

    def link(row: Row, column: str, cell: Cell) -> str | None:
        anchor = anchors.get((id(row), column))
        return None if anchor is None else f"#{anchor}"

    return {"html": render(table, link), "title": table.title, "numbers": numbers}


def _number(
    anchor: str, table: Table, row: Row, column: str, cell: Cell, runs: list[tuple[str, float, int]]
) -> dict[str, Any]:
    unit = cell.declaration.unit if cell.declaration else ""
    return {
        "id": anchor,
        "what": f"{table.title}: {', '.join(row.labels)}; {column}",
        "value": f"{cell.mean:.6g} {unit}".strip(),
        "error": None if cell.standard_error is None else f"{cell.standard_error:.3g}",
        "published": cell.published and f"{row.published_by} {cell.published}",
        "recipes": ", ".join(cell.recipes),
        "runs": [{"run_id": run_id, "value": f"{value:.6g}", "seed": seed} for run_id, value, seed in runs],
    }

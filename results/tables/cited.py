"""Leaves the rows of cited methods without runs out of a table in miniature."""

from __future__ import annotations

from dataclasses import replace

from results.declarations import PaperDeclaration
from results.scale import shrink_query
from results.tables.layout import Layout, LayoutRow, find_query
from results.tables.rows import RunRows


def leave_out_cited(full: Layout, declaration: PaperDeclaration, runs: RunRows) -> tuple[Layout, tuple[str, ...]]:
    """Return the layout without rows of cited methods that no run of ``--tiny`` fills, and a note that names them."""
    left_out = [row for row in full.rows if row.slots[0].is_cited and not _has_tiny_runs(row, runs)]
    if not left_out:
        return full, ()
    kept = tuple(row for row in full.rows if row not in left_out)
    methods = dict.fromkeys(_describe(declaration, full, row) for row in left_out)
    note = f"Left out, because the paper only cites them and none was planned here: {', '.join(methods)}."
    return replace(full, rows=kept), (note,)


def _has_tiny_runs(row: LayoutRow, runs: RunRows) -> bool:
    return any(runs.matching(shrink_query(slot.query)) for slot in row.slots if slot.query is not None)


def _describe(declaration: PaperDeclaration, full: Layout, row: LayoutRow) -> str:
    """Return the word for a row's cited method, and what a run of it needs."""
    for label, word in zip(full.labels, row.labels, strict=True):
        query = find_query(declaration, label, word)
        if not isinstance(query, dict):
            return f"{word} ({query.needs})" if query is not None and query.needs else word
    raise AssertionError(f"table {full.id}: the row {row.labels} cites no method")

"""Tables: our numbers, the published ones and their difference, cell by cell; nothing here knows how to print.

A cell holds repetitions only: runs that differ in nothing but the seed. When the runs that answer a cell's query
differ in anything else (dataset fingerprint, recipe, any setting) the cell is ``mixed``, gives no number, and its
reason names what differs. A run counts once however often it is listed, and so does a seed: of two repetitions with
one seed, the run whose id sorts first speaks.
"""

from __future__ import annotations

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
from results.tables.cell import fill, frame_rows
from results.tables.layout import lay_out
from results.tables.model import Cell, Row, Table
from results.tables.notes import notes_for

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Cell",
    "Row",
    "Table",
    "build_table",
    "find_declaration",
    "paper_table",
    "published_table_names",
    "table_names",
]


def build_table(declaration: Declaration | str, frame: pd.DataFrame, reference: Reference | None = None) -> Table:
    """Fill a declared table from a frame of ``results.frame``.

    Parameters
    ----------
    declaration
        A declaration, or the name of a shipped one.
    reference
        The published numbers; the OPERA paper's by default.

    Raises
    ------
    InputError
        Unknown table name, or a declaration that contradicts itself or its reference.
    """
    if isinstance(declaration, str):
        declaration = find_declaration(declaration)
    layout = lay_out(declaration, reference or load_reference())
    rows = frame_rows(frame)
    table = Table(
        id=layout.id,
        title=layout.title,
        caption=layout.caption,
        source=layout.source,
        labels=layout.labels,
        columns=layout.columns,
        rows=tuple(Row(row.labels, tuple(fill(slot, rows) for slot in row.slots)) for row in layout.rows),
    )
    return replace(table, notes=notes_for(table, layout.notes))


def paper_table(name: str, reference: Reference | None = None) -> Table:
    """The published numbers alone, rows, columns and digits as printed.

    Raises
    ------
    InputError
        Unknown table name, or a table that no paper prints.
    """
    declaration = find_declaration(name)
    if not isinstance(declaration, PaperDeclaration):
        raise InputError(
            f"table {name!r} has no published numbers; those that have: {', '.join(published_table_names())}"
        )
    layout = lay_out(declaration, reference or load_reference())
    return Table(
        id=layout.id,
        title=layout.title,
        caption=layout.caption,
        source=layout.source,
        labels=layout.labels,
        columns=layout.columns,
        rows=tuple(
            Row(row.labels, tuple(Cell("published", published=slot.published) for slot in row.slots))
            for row in layout.rows
        ),
        published_only=True,
    )

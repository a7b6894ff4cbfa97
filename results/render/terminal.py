"""Converts tables to rich Tables, which a console fits to its width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results.render._text import Part, cell_parts, title_line
from results.tables.model import Cell, Row, Table

if TYPE_CHECKING:
    from rich.table import Table as RichTable
    from rich.text import Text

_STYLES = {"ours": "", "count": "dim", "paper": "dim", "difference": "cyan", "state": "yellow"}
_MARKS = {"better": "bold", "best": "underline", "within": "green", "above": "cyan", "below": "red"}
_STATE_STYLES = {"failed": "red", "mixed": "red", "missing": "red", "cited": "dim", "not planned": "dim"}


def render(table: Table) -> RichTable:
    """``table`` as a rich Table, notes as caption; cells have short lines, so that wide tables fit a terminal."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(
        title=Text(title_line(table)),
        caption=Text("\n".join(table.notes)) if table.notes else None,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name in table.labels:
        drawn.add_column(Text(name), no_wrap=True)
    for name in table.columns:
        drawn.add_column(Text(name), justify="right")
    for row in table.rows:
        drawn.add_row(*(Text(label) for label in row.labels), *(_cell(table, row, cell) for cell in row.cells))
    return drawn


def _cell(table: Table, row: Row, cell: Cell) -> Text:
    from rich.text import Text

    text = Text()
    for part in cell_parts(table, row, cell):
        if text:
            text.append(" " if part.kind == "count" else "\n")
        text.append(part.words, _style(part))
    return text


def _style(part: Part) -> str:
    marks = [_MARKS[mark] for mark in part.marks]
    if part.kind == "state":
        return _STATE_STYLES.get(part.words, _STYLES["state"])
    return " ".join(marks) or _STYLES[part.kind]

"""A rich Table, for a console to fit to its width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results.render._text import count, ours, parts, title_line
from results.tables.model import Cell, Table

if TYPE_CHECKING:
    from rich.table import Table as RichTable
    from rich.text import Text

_STYLES = {"paper": "dim", "difference": "cyan", "state": "yellow"}
_STATE_STYLES = {"failed": "red", "mixed": "red", "missing": "red", "cited": "dim", "not planned": "dim"}


def render(table: Table) -> RichTable:
    """Each cell in short lines, so that the paper's widest tables still fit a terminal; the notes as its caption."""
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
        drawn.add_row(*(Text(label) for label in row.labels), *(_cell(table, cell) for cell in row.cells))
    return drawn


def _cell(table: Table, cell: Cell) -> Text:
    from rich.text import Text

    if table.published_only:
        return Text(cell.published or "")
    lines = []
    for kind, words in parts(cell):
        if kind == "ours":
            lines.append(Text.assemble((ours(cell) or "", "bold"), (f" {count(cell)}", "dim")))
        else:
            style = _STATE_STYLES.get(words, _STYLES[kind]) if kind == "state" else _STYLES[kind]
            lines.append(Text(words, style))
    return Text("\n").join(lines)

"""Prints tables as HTML fragments with CSS classes; the page supplies the styles."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from results.render._text import Part, cell_parts, html_header, join
from results.tables.model import Cell, Row, Table

Link = Callable[[Row, str, Cell], str | None]
"""(row, column, cell) → address that the cell's number links to, or None."""


def render(table: Table, link: Link | None = None) -> str:
    """A ``<table class="results">`` and, if there are notes, a ``<ul class="notes">``.

    A measured cell is ``<td class="cell done">`` (or another state) with its number in ``data-value``. Each part is a
    span of class ``ours``, ``count``, ``paper``, ``difference`` or ``state``. Numbers also have the classes ``better``
    and ``best``, differences ``within``, ``above`` or ``below`` (the metric's tolerance).
    """
    header = [f'<th scope="col">{escape(name)}</th>' for name in table.labels]
    header += [f'<th scope="col" class="number">{html_header(escape(name))}</th>' for name in table.columns]
    lines = [
        '<table class="results">',
        f"<caption><strong>{escape(table.title)}.</strong> {escape(table.caption)}</caption>",
        f"<thead><tr>{''.join(header)}</tr></thead>",
        "<tbody>",
    ]
    for row in table.rows:
        labels = (f'<th scope="row">{escape(label)}</th>' for label in row.labels)
        cells = (_cell(table, row, name, cell, link) for name, cell in zip(table.columns, row.cells, strict=True))
        lines.append(f"<tr>{''.join((*labels, *cells))}</tr>")
    lines += ["</tbody>", "</table>"]
    if table.notes:
        lines += ['<ul class="notes">', *(f"<li>{escape(note)}</li>" for note in table.notes), "</ul>"]
    return "\n".join(lines) + "\n"


def _cell(table: Table, row: Row, column: str, cell: Cell, link: Link | None) -> str:
    kind = f"cell {cell.state.replace(' ', '-')}"
    title = f' title="{escape(cell.reason)}"' if cell.reason else ""
    value = cell.published if cell.mean is None else f"{cell.mean:.6g}"
    sorts_by = f' data-value="{escape(value)}"' if value and value != "-" else ""
    address = link(row, column, cell) if link else None

    def dress(part: Part) -> str:
        text = escape(part.words)
        if part.kind == "ours" and address:
            text = f'<a href="{escape(address)}">{text}</a>'
        return f'<span class="{" ".join((part.kind, *part.marks))}">{text}</span>'

    return f'<td class="{kind}"{title}{sorts_by}>{join(cell_parts(table, row, cell), dress)}</td>'

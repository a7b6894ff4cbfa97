"""An HTML fragment for any page: no style of its own, classes for the page's."""

from __future__ import annotations

from html import escape

from results.render._text import html_header, parts
from results.tables.model import Cell, Table


def render(table: Table) -> str:
    """A ``<table class="results">`` and, if there are notes, a ``<ul class="notes">``.

    A measured cell is ``<td class="cell done">`` (or its state) with a span per part: ``ours``, ``paper``,
    ``difference``, ``state``.
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
        lines.append(f"<tr>{''.join((*labels, *(_cell(table, cell) for cell in row.cells)))}</tr>")
    lines += ["</tbody>", "</table>"]
    if table.notes:
        lines += ['<ul class="notes">', *(f"<li>{escape(note)}</li>" for note in table.notes), "</ul>"]
    return "\n".join(lines) + "\n"


def _cell(table: Table, cell: Cell) -> str:
    kind = f"cell {cell.state.replace(' ', '-')}"
    if table.published_only:
        return f'<td class="{kind}">{escape(cell.published or "")}</td>'
    title = f' title="{escape(cell.reason)}"' if cell.reason else ""
    spans = " · ".join(f'<span class="{name}">{escape(words)}</span>' for name, words in parts(cell))
    return f'<td class="{kind}"{title}>{spans}</td>'

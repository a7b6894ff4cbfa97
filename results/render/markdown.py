"""GitHub-flavoured Markdown."""

from __future__ import annotations

import re

from results.render._text import cell_text, html_header, title_line
from results.tables.model import Table


def render(table: Table) -> str:
    header = [*map(_escape, table.labels), *(html_header(_escape(name)) for name in table.columns)]
    lines = [
        f"**{_escape(title_line(table))}**",
        "",
        _line(header),
        _line(["---"] * len(table.labels) + ["--:"] * len(table.columns)),
    ]
    for row in table.rows:
        cells = [cell_text(table, cell) for cell in row.cells]
        lines.append(_line([_escape(text) for text in (*row.labels, *cells)]))
    if table.notes:
        lines += ["", *(f"- {_escape(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    # an underscore inside a word is no emphasis in GitHub's Markdown
    return re.sub(r"([\\|*<>`\[\]])", r"\\\1", " ".join(text.split()))

"""Prints tables as GitHub-flavoured Markdown.

A number better than the baseline is bold, the best of a backbone underlined.
"""

from __future__ import annotations

import re

from results.render._text import Part, cell_parts, html_header, join, title_line
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
        cells = [join(cell_parts(table, row, cell), _dress) for cell in row.cells]
        lines.append(_line([*map(_escape, row.labels), *cells]))
    if table.notes:
        lines += ["", *(f"- {_escape(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _dress(part: Part) -> str:
    text = _escape(part.words)
    text = f"<ins>{text}</ins>" if "best" in part.marks else text
    return f"**{text}**" if "better" in part.marks else text


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    # Don't escape underscores: inside a word they aren't emphasis in GitHub's Markdown.
    return re.sub(r"([\\|*<>`\[\]])", r"\\\1", " ".join(text.split()))

"""Prints tables as LaTeX, which needs only the package booktabs.

Cells are broken into short lines, so that nine columns fit a page; wide tables span both columns of a two-column page.
A number better than the baseline is bold, the best of a backbone underlined.
"""

from __future__ import annotations

from results.render._text import Part, cell_parts, join, split_scripts
from results.tables.model import Cell, Row, Table

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"$<$",
    ">": r"$>$",
    "†": r"$^\dagger$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "Δ": r"$\Delta$",
    "−": r"$-$",
    "–": "--",
    "→": r"$\rightarrow$",
    "’": "'",
    "§": r"\S{}",
}


_SEPARATOR = r" $\cdot$ "
_WIDE, _CROWDED = 7, 9
"""Column counts, labels included, from which a table takes the page's full width, and each cell part its own line."""


def render(table: Table) -> str:
    header = [*map(_escape, table.labels), *map(_header, table.columns)]
    environment = "table*" if len(header) >= _WIDE else "table"
    lines = [
        rf"\begin{{{environment}}}[t]",
        r"\centering",
        # The document numbers its tables itself: "Table 1: Table 5." would be two numbers.
        rf"\caption{{{_escape(table.caption.rstrip('.'))} ({_escape(table.title)}).}}",
        rf"\label{{tab:{table.id}}}",
        r"\scriptsize",
        r"\setlength{\tabcolsep}{2.5pt}",
        rf"\begin{{tabular}}{{@{{}}{'l' * len(table.labels)}{'r' * len(table.columns)}@{{}}}}",
        r"\toprule",
        _line(header),
        r"\midrule",
        *(_line([*map(_escape, row.labels), *(_cell(table, row, cell) for cell in row.cells)]) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par {_escape(note)}" for note in table.notes),
        rf"\end{{{environment}}}",
    ]
    return "\n".join(lines) + "\n"


def _cell(table: Table, row: Row, cell: Cell) -> str:
    """One cell: our number or the state; below it, in small print, the published number, n and the difference."""
    found = cell_parts(table, row, cell)
    crowded = len(table.labels) + len(table.columns) >= _CROWDED
    if table.published_only or not (crowded or any(part.kind == "paper" for part in found)):
        return join(found, _dress, _SEPARATOR)
    small = (("count",), ("difference",)) if crowded else (("count", "difference"),)
    kinds = (("ours", "state"), ("paper",), *small)
    lines = [join([part for part in found if part.kind in those], _dress, _SEPARATOR) for those in kinds]
    first, *rest = [line for line in lines if line]
    below = [rf"\\{{\tiny {line}}}" for line in rest]
    return rf"\shortstack[r]{{{first}{''.join(below)}}}" if rest else first


def _dress(part: Part) -> str:
    text = _escape(part.words)
    text = rf"\underline{{{text}}}" if "best" in part.marks else text
    return rf"\textbf{{{text}}}" if "better" in part.marks else text


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _header(text: str) -> str:
    base, low, high = split_scripts(text)
    scripts = (f"_{{{_escape(low)}}}" if low else "") + (f"^{{{_escape(high)}}}" if high else "")
    return _escape(base) + (f"${scripts}$" if scripts else "")


def _escape(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in " ".join(text.split()))

"""LaTeX with booktabs; needs no package but that."""

from __future__ import annotations

from results.render._text import cell_text, split_scripts, title_line
from results.tables.model import Table

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
}


def render(table: Table) -> str:
    header = [*map(_escape, table.labels), *map(_header, table.columns)]
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{_escape(title_line(table))}}}",
        rf"\label{{tab:{table.id}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.labels)}{'r' * len(table.columns)}}}",
        r"\toprule",
        _line(header),
        r"\midrule",
        *(
            _line([_escape(text) for text in (*row.labels, *(cell_text(table, cell) for cell in row.cells))])
            for row in table.rows
        ),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {_escape(note)}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _header(text: str) -> str:
    base, low, high = split_scripts(text)
    scripts = (f"_{{{_escape(low)}}}" if low else "") + (f"^{{{_escape(high)}}}" if high else "")
    return _escape(base) + (f"${scripts}$" if scripts else "")


def _escape(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in " ".join(text.split()))

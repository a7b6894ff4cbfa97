"""Text of table cells and headers, shared by every format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from results.tables.model import Cell, Row, Table

MINUS = "−"


@dataclass(frozen=True)
class Part:
    """One part of a cell's text.

    ``kind`` is ours, count, paper, difference or state. A number's ``marks`` are ``better`` and ``best``; a
    difference's are ``within``, ``above`` or ``below`` (the tolerance).
    """

    kind: str
    words: str
    marks: tuple[str, ...] = ()


def number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", MINUS)


def signed(value: float, decimals: int) -> str:
    """The value with its sign; without a sign if it rounds to zero."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


def ours(cell: Cell) -> str | None:
    """The cell's own mean and standard error, such as ``73.7 ± 0.2``; None if the cell has no mean."""
    if cell.mean is None:
        return None
    spread = "" if cell.standard_error is None else f" ± {number(cell.standard_error, cell.decimals)}"
    return number(cell.mean, cell.decimals) + spread


def count(cell: Cell) -> str:
    """The number of finished seeds: ``(n=3)``, or ``(n=2 of 3)`` while seeds are missing."""
    return f"(n={cell.n})" if cell.n == cell.seeds else f"(n={cell.n} of {cell.seeds})"


def parts(cell: Cell, published_by: str = "paper") -> Iterator[Part]:
    """Yield the parts of a cell's text in reading order."""
    value = ours(cell)
    if value is not None:
        yield Part("ours", value, _marks(cell.better, cell.best))
        yield Part("count", count(cell))
    if cell.published is not None:
        yield Part("paper", f"{published_by} {cell.published}")
    if cell.difference is not None:
        agreement = () if cell.agreement is None else (cell.agreement,)
        yield Part("difference", f"Δ {signed(cell.difference, cell.decimals)}", agreement)
    if value is None:
        yield Part("state", cell.state)


def cell_parts(table: Table, row: Row, cell: Cell) -> list[Part]:
    """``parts(cell)``; if the table shows only published numbers, the printed number alone."""
    if table.published_only:
        return [Part("paper", cell.published or "", _marks(cell.published_better, cell.published_best))]
    return list(parts(cell, row.published_by))


def join(parts: list[Part], dress: Callable[[Part], str], separator: str = " · ") -> str:
    """``73.7 ± 0.2 (n=3) · paper 74.8 · Δ −1.1``; ``dress`` gives each part the format's markup."""
    text = ""
    for part in parts:
        text += ("" if not text else " " if part.kind == "count" else separator) + dress(part)
    return text


def _marks(better: bool, best: bool) -> tuple[str, ...]:
    return tuple(name for name, holds in (("better", better), ("best", best)) if holds)


def split_scripts(header: str) -> tuple[str, str, str]:
    """Base, subscript and superscript of a header: ``AP_50^bb`` → (``AP``, ``50``, ``bb``)."""
    match = re.fullmatch(r"([^_^\s]+)(?:_([^_^\s]+))?(?:\^([^_^\s]+))?", header)
    return (header, "", "") if match is None else (match[1], match[2] or "", match[3] or "")


def html_header(header: str) -> str:
    """An escaped header with its scripts as ``<sub>`` and ``<sup>``."""
    base, low, high = split_scripts(header)
    return base + (f"<sub>{low}</sub>" if low else "") + (f"<sup>{high}</sup>" if high else "")


def title_line(table: Table) -> str:
    """Title and caption in one line: ``Table 1. Top-1 accuracy …``."""
    return f"{table.title}. {table.caption}"

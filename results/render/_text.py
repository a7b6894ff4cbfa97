"""The words of a cell, shared by every format."""

from __future__ import annotations

import re
from collections.abc import Iterator

from results.tables.model import Cell, Table

MINUS = "−"


def number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", MINUS)


def signed(value: float, decimals: int) -> str:
    """With its sign, but for what rounds to zero."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


def ours(cell: Cell) -> str | None:
    """``73.7 ± 0.2``; None when there is no number."""
    if cell.mean is None:
        return None
    spread = "" if cell.standard_error is None else f" ± {number(cell.standard_error, cell.decimals)}"
    return number(cell.mean, cell.decimals) + spread


def count(cell: Cell) -> str:
    """``(n=3)``, or ``(n=2 of 3)`` while seeds are missing."""
    return f"(n={cell.n})" if cell.n == cell.seeds else f"(n={cell.n} of {cell.seeds})"


def parts(cell: Cell) -> Iterator[tuple[str, str]]:
    """(kind, words) in reading order; kinds are ours, paper, difference and state."""
    value = ours(cell)
    if value is not None:
        yield "ours", f"{value} {count(cell)}"
    if cell.published is not None:
        yield "paper", f"paper {cell.published}"
    if cell.difference is not None:
        yield "difference", f"Δ {signed(cell.difference, cell.decimals)}"
    if value is None:
        yield "state", cell.state


def cell_text(table: Table, cell: Cell) -> str:
    """``73.7 ± 0.2 (n=3) · paper 74.8 · Δ −1.1``; for the paper alone, the number as printed."""
    if table.published_only:
        return cell.published or ""
    return " · ".join(words for _, words in parts(cell))


def split_scripts(header: str) -> tuple[str, str, str]:
    """``AP_50^bb`` → (``AP``, ``50``, ``bb``); a header without scripts comes back whole."""
    match = re.fullmatch(r"([^_^]+)(?:_([^_^]+))?(?:\^([^_^]+))?", header)
    return (header, "", "") if match is None else (match[1], match[2] or "", match[3] or "")


def html_header(header: str) -> str:
    """Scripts as ``<sub>`` and ``<sup>``; ``header`` is already escaped."""
    base, low, high = split_scripts(header)
    return base + (f"<sub>{low}</sub>" if low else "") + (f"<sup>{high}</sup>" if high else "")


def title_line(table: Table) -> str:
    """``Table 1. Top-1 accuracy …``"""
    return f"{table.title}. {table.caption}"

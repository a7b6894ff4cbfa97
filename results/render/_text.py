"""The words of a cell, shared by every format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from results.tables.model import Cell, Row, Table

MINUS = "−"


@dataclass(frozen=True)
class Part:
    """Some words of a cell.

    ``kind`` is ours, count, paper, difference or state. ``marks`` are ``better`` and ``best`` of numbers and
    ``within``, ``above`` or ``below`` (the tolerance) of differences.
    """

    kind: str
    words: str
    marks: tuple[str, ...] = ()


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


def parts(cell: Cell, published_by: str = "paper") -> Iterator[Part]:
    """What a cell says, in reading order."""
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
    """``parts``, or for the paper alone the number as printed."""
    if table.published_only:
        return [Part("paper", cell.published or "", _marks(cell.published_better, cell.published_best))]
    return list(parts(cell, row.published_by))


def join(found: list[Part], dress: Callable[[Part], str], separator: str = " · ") -> str:
    """``73.7 ± 0.2 (n=3) · paper 74.8 · Δ −1.1``, each part dressed by the format."""
    text = ""
    for part in found:
        text += ("" if not text else " " if part.kind == "count" else separator) + dress(part)
    return text


def _marks(better: bool, best: bool) -> tuple[str, ...]:
    return tuple(name for name, holds in (("better", better), ("best", best)) if holds)


def split_scripts(header: str) -> tuple[str, str, str]:
    """``AP_50^bb`` → (``AP``, ``50``, ``bb``); a header without scripts comes back whole."""
    match = re.fullmatch(r"([^_^\s]+)(?:_([^_^\s]+))?(?:\^([^_^\s]+))?", header)
    return (header, "", "") if match is None else (match[1], match[2] or "", match[3] or "")


def html_header(header: str) -> str:
    """Scripts as ``<sub>`` and ``<sup>``; ``header`` is already escaped."""
    base, low, high = split_scripts(header)
    return base + (f"<sub>{low}</sub>" if low else "") + (f"<sup>{high}</sup>" if high else "")


def title_line(table: Table) -> str:
    """``Table 1. Top-1 accuracy …``"""
    return f"{table.title}. {table.caption}"

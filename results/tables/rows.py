"""The rows of a frame, found by method and protocol without walking them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import pandas as pd

    from results.declarations import Query

RunRow = Mapping[str, Any]
NONE = "none"
"""In a query: the column is empty."""


class RunRows:
    """Rows as ``results.frame.to_rows`` gives them, or a frame's, in an order of their own.

    A row listed twice counts once. Nothing depends on pandas unless a frame is given.
    """

    def __init__(self, runs: pd.DataFrame | Sequence[RunRow]) -> None:
        rows = runs if isinstance(runs, Sequence) else frame_rows(runs)
        unique = {(row["run_id"], row["metric"] or ""): row for row in rows}
        self.all: list[RunRow] = [unique[key] for key in sorted(unique)]
        self._by_method: dict[Any, list[RunRow]] = {}
        self._by_both: dict[tuple[Any, Any], list[RunRow]] = {}
        for row in self.all:
            self._by_method.setdefault(row["method"], []).append(row)
            self._by_both.setdefault((row["method"], row["protocol"]), []).append(row)

    def answering(self, query: Query, leaving_out: str | None = None) -> list[RunRow]:
        """The rows that satisfy ``query``, but for its column ``leaving_out``."""
        asked = {name: value for name, value in query.items() if name != leaving_out}
        method, protocol = asked.get("method"), asked.get("protocol")
        rows: list[RunRow] = self.all
        if isinstance(method, str):
            rows = self._by_method.get(method, [])
            if isinstance(protocol, str) and protocol != NONE:
                rows = self._by_both.get((method, protocol), [])
        return [row for row in rows if all(_fits(row[name], value) for name, value in asked.items())]


def _fits(found: Any, asked: Any) -> bool:
    if isinstance(asked, list):
        return found in asked
    return found == asked or (asked == NONE and found is None)


def frame_rows(frame: pd.DataFrame) -> list[RunRow]:
    """The frame as dictionaries with None for every missing value."""
    plain = frame.astype(object).where(frame.notna(), None)
    names = [str(name) for name in plain.columns]
    values = zip(*(plain[name].tolist() for name in names), strict=True)
    return cast("list[RunRow]", [dict(zip(names, row, strict=True)) for row in values])

"""Finds the rows that match a query, indexed by method and protocol.

Tables read plain rows and not the data frame: importing pandas and filling a frame takes longer than all tables of
10,000 runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from results.columns import Row
from results.frame import records

if TYPE_CHECKING:
    import pandas as pd

    from results.declarations import Query

NONE = "none"
"""Query value that matches an empty column."""


class RunRows:
    """Rows of ``results.frame.to_rows`` or of a frame, without duplicates, sorted by run id and metric."""

    def __init__(self, runs: pd.DataFrame | Sequence[Row]) -> None:
        rows = runs if isinstance(runs, Sequence) else records(runs)
        unique = {(row["run_id"], row["metric"] or ""): row for row in rows}
        self.all: list[Row] = [unique[key] for key in sorted(unique)]
        self._by_role: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.all:
            self._by_role.setdefault((row["method"], row["protocol"]), []).append(row)
        self._answers: dict[str, list[Row]] = {}

    def matching(self, query: Query) -> list[Row]:
        """Return the rows that match all conditions of ``query`` but the one on the metric."""
        conditions = {name: value for name, value in sorted(query.items()) if name != "metric"}
        key = repr(conditions)
        if key not in self._answers:  # table columns often differ only in the metric
            self._answers[key] = self._search(conditions)
        return self._answers[key]

    def _search(self, conditions: Mapping[str, Any]) -> list[Row]:
        role = (conditions.get("method"), conditions.get("protocol"))
        is_plain = all(isinstance(value, str) and value != NONE for value in role)
        rows = self._by_role.get(role, []) if is_plain else self.all
        for name, value in conditions.items():
            wanted = value if isinstance(value, list) else [None, NONE] if value == NONE else [value]
            rows = [row for row in rows if row.get(name) in wanted]
        return rows

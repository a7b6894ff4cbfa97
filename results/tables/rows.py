"""Finds the frame rows that match a query, indexed by method and protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import pandas as pd

    from results.declarations import Query

RunRow = Mapping[str, Any]
NONE = "none"
"""Query value that matches an empty column."""


class RunRows:
    """Rows of ``results.frame.to_rows`` or of a frame, without duplicates, sorted by run id and metric.

    pandas is only needed if a frame is given.
    """

    def __init__(self, runs: pd.DataFrame | Sequence[RunRow]) -> None:
        rows = runs if isinstance(runs, Sequence) else frame_rows(runs)
        unique = {(row["run_id"], row["metric"] or ""): row for row in rows}
        self.all: list[RunRow] = [unique[key] for key in sorted(unique)]
        self._by_role: dict[tuple[Any, ...], list[RunRow]] = {}
        for row in self.all:
            for role in ((row["method"],), (row["method"], row["protocol"])):
                self._by_role.setdefault(role, []).append(row)
        self._answers: dict[str, list[RunRow]] = {}

    @cached_property
    def unrepeated(self) -> RunRows:
        """One row for each setting: all its seeds and metrics have equal configuration columns."""
        return RunRows(list({row["setting"]: row for row in self.all}.values()))

    def answering(self, query: Query, leaving_out: str | None = None) -> list[RunRow]:
        """The rows that match ``query``, ignoring its column ``leaving_out``."""
        asked = {name: value for name, value in sorted(query.items()) if name != leaving_out}
        question = repr(asked)
        if question not in self._answers:  # table columns often differ only in the metric
            self._answers[question] = self._search(asked)
        return self._answers[question]

    def data_differences(self, row: RunRow) -> list[str]:
        """How the data of a run, and of the pretraining it evaluates, differ from the published datasets."""
        told = (self._pretraining_differs.get(row["checkpoint_sha256"]), row["data_differs"])
        return list(dict.fromkeys(words for words in told if words))

    @cached_property
    def _pretraining_differs(self) -> dict[Any, str | None]:
        pretrainings = (row for row in self.all if row["protocol"] is None)
        return {row["checkpoint_sha256"]: row["data_differs"] for row in pretrainings}

    def _search(self, asked: Query) -> list[RunRow]:
        role = [asked[name] for name in ("method", "protocol") if name in asked]
        plain = "method" in asked and all(isinstance(value, str) and value != NONE for value in role)
        rows: list[RunRow] = self._by_role.get(tuple(role), []) if plain else self.all
        for name, value in asked.items():
            if not rows:
                break
            if isinstance(value, list):
                rows = [row for row in rows if row[name] in value]
            elif value == NONE:
                rows = [row for row in rows if row[name] in (None, NONE)]
            else:
                rows = [row for row in rows if row[name] == value]
        return rows


def frame_rows(frame: pd.DataFrame) -> list[RunRow]:
    """The frame's rows as dictionaries; missing values are None."""
    plain = frame.astype(object).where(frame.notna(), None)
    names = [str(name) for name in plain.columns]
    values = zip(*(plain[name].tolist() for name in names), strict=True)
    return cast("list[RunRow]", [dict(zip(names, row, strict=True)) for row in values])

"""What tells two runs of one method apart, and the labels that say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]

SETTING_FIELDS = (
    "preset",
    "arrangement",
    "mlp_layers",
    "embedding_dimension",
    "hidden_dimension",
    "pretrain_recipe",
)
"""Columns of the frame in which runs of one method may differ by what they are, not by how they went."""


def variant(row: Row) -> str:
    """The label that tells the variants of a method apart.

    The official preset and arrangement C are what a bare method name means: ``opera`` is OPERA as published,
    ``opera (A)`` has its class head on the backbone, ``opera (B, paper)`` has it on the projector and the
    paper's own loss weights.
    """
    usual = {"arrangement": "C", "preset": "official"}
    details = [str(row[key]) for key in usual if present(row.get(key)) not in (None, usual[key])]
    return f"{row['method']} ({', '.join(details)})" if details else str(row["method"])


def evaluations(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's evaluation rows as dictionaries, every missing value as None."""
    rows = frame[frame["protocol"].notna()].to_dict("records")
    return [{str(key): present(value) for key, value in row.items()} for row in rows]


def variants(frame: pd.DataFrame) -> tuple[str, ...]:
    """Every variant that has an evaluation in the frame, sorted."""
    return tuple(sorted({variant(row) for row in evaluations(frame)}))


def present(value: Any) -> Any:
    """None for pandas' several kinds of missing value, the value itself otherwise."""
    import pandas as pd

    return None if pd.isna(value) else value

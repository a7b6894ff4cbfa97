"""Labels the variants of a method, such as ``opera (A)``, and lists a frame's variants."""

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
"""Frame columns that distinguish settings of one method (as opposed to results)."""


def variant(row: Row) -> str:
    """The label of a row's variant: the method, with arrangement and preset unless they are C and official.

    ``opera`` is OPERA as published, ``opera (A)`` has its class head on the backbone, ``opera (B, paper)`` has its
    class head on the projector and the paper's loss weights.
    """
    usual = {"arrangement": "C", "preset": "official"}
    details = [str(row[key]) for key in usual if present(row.get(key)) not in (None, usual[key])]
    return f"{row['method']} ({', '.join(details)})" if details else str(row["method"])


def evaluations(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's evaluation rows as dictionaries; missing values are None."""
    rows = frame[frame["protocol"].notna()].to_dict("records")
    return [{str(key): present(value) for key, value in row.items()} for row in rows]


def variants(frame: pd.DataFrame) -> tuple[str, ...]:
    """Labels of all variants with an evaluation in the frame, sorted."""
    return tuple(sorted({variant(row) for row in evaluations(frame)}))


def present(value: Any) -> Any:
    """``value``, or None for any of pandas' missing values."""
    import pandas as pd

    return None if pd.isna(value) else value

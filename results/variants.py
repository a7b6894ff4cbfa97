"""Labels the variants of a method, such as ``opera (A)``, and lists a frame's variants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from results.columns import Row
from results.frame import records
from results.reference import load_methods

if TYPE_CHECKING:
    import pandas as pd


def variant(row: Row) -> str:
    """Return the label of a row's variant: its method and each named option that isn't the published one.

    ``results/reference/methods.yaml`` declares the published options. ``opera`` is OPERA as published, ``opera (A)``
    has its class head on the backbone, ``opera (B, paper)`` on the projector, and has the paper's loss weights.
    """
    method = row["method"]
    main = load_methods().variants[method].main if method in load_methods().variants else {}
    details = [str(row[option]) for option in main if none_if_missing(row.get(option)) not in (None, main[option])]
    return f"{method} ({', '.join(details)})" if details else str(method)


def evaluations(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the frame's evaluation rows as dictionaries; missing values are None."""
    return records(frame[frame["protocol"].notna()])


def variants(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the labels of all variants with an evaluation in the frame, sorted."""
    return tuple(sorted({variant(row) for row in evaluations(frame)}))


def none_if_missing(value: Any) -> Any:
    """Return ``value``, or None for any of pandas' missing values."""
    import pandas as pd

    return None if pd.isna(value) else value

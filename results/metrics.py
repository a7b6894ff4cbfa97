"""Defines how one metric of a record is named, printed and compared. Evaluators declare it; records carry it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, FiniteFloat

BETTER = {True: "higher is better", False: "lower is better", None: "neither direction is declared better"}


@dataclass(frozen=True)
class Metric:
    """Label, unit, direction and printed decimals of one metric. A value in ``%`` lies in 0…100.

    ``tolerance`` is the largest difference, in the metric's unit, between two correct runs of one protocol; None if no
    source gives a value. ``higher_is_better`` is None if neither direction is. Comparisons and figures show only
    ``headline`` metrics.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    label: str
    unit: str = ""
    higher_is_better: bool | None = None
    decimals: Annotated[int, Field(ge=0, le=9)] = 1
    tolerance: FiniteFloat | None = None
    headline: bool = False

    @property
    def label_with_unit(self) -> str:
        """The label of an axis or a row, such as ``Top-1 accuracy (%)`` or ``Distance (px, lower is better)``."""
        details = [self.unit] if self.unit else []
        details += [BETTER[False]] if self.higher_is_better is False else []
        return f"{self.label} ({', '.join(details)})" if details else self.label


def number_or_undefined(value: float | None, form: str) -> str:
    """Return the number in a format such as ``.1f``; ``not defined`` for None."""
    return "not defined" if value is None else format(value, form)

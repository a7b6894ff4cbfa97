"""Draws the training loss of every pretraining over epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.errors import InputError
from results.figures._lines import curves_of, draw_curves

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

TITLE = "Pretraining loss"
CAPTION = (
    "One line per run. Every method minimises a loss of its own, so the heights compare within a panel, never "
    "between panels."
)


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with columns run_id, variant, backbone, seed, epoch and loss.

    Raises
    ------
    InputError
        No pretraining has reported a loss yet.
    """
    found = curves_of("loss", runs, frame)
    if found.empty:
        raise InputError("no pretraining has reported a loss yet")
    return found


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """Draw one panel per method, with one line style per backbone."""
    return draw_curves("loss", data(runs, frame), "training loss", comparable=False)

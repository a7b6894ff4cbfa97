"""Draws the paper's Figure 8: hidden dimension of the class head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.figures._ablation import CAPTION, ablation_data, draw_ablation

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

__all__ = ["CAPTION", "TITLE", "data", "draw"]

TITLE = "Hidden dimension of the class head"


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """One row per seed, see ``ablation_data``."""
    return ablation_data(frame, "hidden_dimension")


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """Draw a panel per task."""
    return draw_ablation(frame, "hidden_dimension", "hidden dimension", doubling=True)

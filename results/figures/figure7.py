"""Draws the paper's Figure 7: output dimension of the projector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.figures._ablation import CAPTION, ablation_data, draw_ablation

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

__all__ = ["CAPTION", "TITLE", "data", "draw"]

TITLE = "Embedding dimension"


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """One row per seed, see ``ablation_data``."""
    return ablation_data(frame, "embedding_dimension")


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """Draw a panel per task."""
    return draw_ablation(frame, "embedding_dimension", "embedding dimension", doubling=True)

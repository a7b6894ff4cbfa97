"""Draws the backbone's k-NN accuracy during pretraining, for every monitored run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.errors import InputError
from results.figures._lines import curves_of, draw_curves

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

TITLE = "k-NN accuracy while pretraining"
CAPTION = (
    "One line per run that was launched with --compute monitor_every_epochs=N. Validation images whose class wins the "
    "vote of their 20 nearest training images; recall@1 among validation images is in the numbers beside the figure."
)


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with columns run_id, variant, backbone, seed, epoch, knn_top1 and recall_at_1, both in percent.

    Raises
    ------
    InputError
        No pretraining was monitored.
    """
    found = curves_of("knn_top1", runs, frame)
    if found.empty:
        raise InputError("no pretraining was monitored; launch with --compute monitor_every_epochs=N")
    recall = curves_of("recall_at_1", runs, frame)[["run_id", "epoch", "recall_at_1"]]
    return found.merge(recall, on=["run_id", "epoch"], how="left")


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """Draw one panel per method, with one line style per backbone."""
    return draw_curves("knn_top1", data(runs, frame), "k-NN top-1 (%)", comparable=True)

"""Draws MoCo-v3, OPERA and OPERA-MIM, to show what a masked-image space adds (appendix C)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.errors import InputError
from results.figures import methods

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

TITLE = "A masked-image space under OPERA"
CAPTION = (
    "One more space at each row: MoCo-v3 contrasts instances, OPERA adds classes above them, OPERA-MIM hidden pixels "
    f"below. {methods.CAPTION} The paper has no numbers for this: appendix C leaves them to future work."
)
COMPARED = ("moco_v3", "opera", "opera_mim")


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of figure ``methods`` for the ``COMPARED`` methods, OPERA in arrangement C only.

    Raises
    ------
    InputError
        No evaluation of OPERA-MIM is done.
    """
    return methods.data(runs, _compared(frame))


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    return methods.draw(runs, _compared(frame))


def _compared(frame: pd.DataFrame) -> pd.DataFrame:
    judged = frame["protocol"].notna() & frame["declaration"].map(lambda metric: metric is not None and metric.headline)
    if not (judged & (frame["method"] == "opera_mim")).any():
        raise InputError("no finished evaluation of opera_mim; run the sweep mim")
    usual = frame["arrangement"].isna() | (frame["arrangement"] == "C")
    return frame[frame["method"].isin(COMPARED) & usual]

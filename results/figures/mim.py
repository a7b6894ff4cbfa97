"""Draws figure ``methods`` for the methods with and without a masked-image space (appendix C)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.errors import InputError
from results.figures import methods
from results.frame import records
from results.reference import load_methods
from results.variants import variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

TITLE = "A masked-image space under OPERA"
CAPTION = (
    "One more space at each row: MoCo-v3 contrasts instances, OPERA adds classes above them, OPERA-MIM hidden pixels "
    f"below. {methods.CAPTION} The paper has no numbers for this: appendix C leaves them to future work."
)


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of figure ``methods`` for the compared variants.

    Raises
    ------
    InputError
        No evaluation of the method with a masked-image space is done.
    """
    return methods.data(runs, _compared(frame))


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    return methods.draw(runs, _compared(frame))


def _compared(frame: pd.DataFrame) -> pd.DataFrame:
    compared = load_methods().compared["mim"]
    chosen = frame[[variant(row) in compared for row in records(frame)]]
    masked = chosen["method"] == compared[-1]
    headline = chosen["declaration"].map(lambda metric: metric is not None and metric.headline).astype(bool)
    if not (chosen["protocol"].notna() & headline & masked).any():
        raise InputError(f"no finished evaluation of {compared[-1]}; run the sweep mim")
    return chosen

"""Draws one row of panels for each option of a method that was varied, whatever it is called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from results.columns import method_options
from results.errors import InputError
from results.figures._ablation import CAPTION as ABLATION_CAPTION
from results.figures._ablation import ablation_data, draw_panels
from results.figures._style import method_order, method_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

TITLE = "Options of methods"
CAPTION = f"One row for each option of a method that was varied. {ABLATION_CAPTION}"


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per seed: method, option, and the columns of ``ablation_data``.

    Raises
    ------
    InputError
        No option has results for two values that differ in nothing else.
    """
    import pandas as pd

    return pd.concat([points.assign(method=method, option=option) for method, option, points in _varied(frame)])


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    from matplotlib.figure import Figure

    varied = list(_varied(frame))
    widest = max(points["panel"].nunique() for _, _, points in varied)
    figure = Figure(figsize=(2.8 * widest + 0.4, 3.1 * len(varied)))
    for part, (method, option, points) in zip(
        figure.subfigures(len(varied), 1, squeeze=False).flat, varied, strict=True
    ):
        part.suptitle(method_style(method).label, fontsize=9.5, fontweight="bold")
        grid = part.subplots(1, points["panel"].nunique(), squeeze=False)[0]
        draw_panels(grid, points, option, option.replace("_", " "), method)
    return figure


def _varied(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield method, option and points of each option with a comparison."""
    judged = frame[frame["protocol"].notna()]
    found = 0
    for method in sorted(judged["method"].dropna().unique(), key=method_order):
        of_method = judged[judged["method"] == method]
        for option in method_options(map(str, frame.columns)):
            if of_method[option].nunique() < 2:
                continue
            try:
                points = ablation_data(of_method, option, method)
            except InputError:
                continue  # its values differ in other settings as well, or it makes variants of the method
            found += 1
            yield method, option, points
    if not found:
        raise InputError("no option of a method has results for two values that differ in nothing else")

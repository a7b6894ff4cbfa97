"""How much do the numbers move from seed to seed: each value's distance from the mean of its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from results.errors import InputError
from results.figures._points import evaluation_points, rows_in_order, seed_count
from results.figures._style import INK, MUTED, backbone_label, method_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

TITLE = "Spread over seeds"
CAPTION = (
    "Each dot is one seed's distance, in percentage points, from the mean over the seeds of its method, backbone and "
    "protocol. A difference between methods has to be seen against this spread."
)
LANE_INCHES = 0.11


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """One line per seed of every row with at least two seeds.

    Raises
    ------
    InputError
        No row has two seeds.
    """
    points = evaluation_points(frame)
    values = points.groupby(["panel", "backbone", "row"], sort=False)["value"]
    points["n"] = values.transform("size")
    points["mean"] = values.transform("mean")
    points["deviation"] = points["value"] - points["mean"]
    spread = points[points["n"] > 1]
    if spread.empty:
        raise InputError("no method has two finished seeds under one protocol; spread needs at least two")
    return spread.assign(panel=spread["panel"].str.replace("\n", ", "))


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """One band per protocol and dataset, one lane per method and backbone within it."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    points = data(runs, frame)
    rows = list(rows_in_order(points).itertuples(index=False))
    backbones = list(points.sort_values("place")["backbone"].unique())
    panels = list(points["panel"].unique())
    band = LANE_INCHES * (len(rows) + 2)
    figure = Figure(figsize=(6.4, band * len(panels) + 1.3))
    axes = figure.subplots()
    axes.axvline(0, color=MUTED, linewidth=0.8)
    handles = []
    for lane, (backbone, row, variant) in enumerate(rows):
        look = method_style(variant)
        face = look.colour if backbone == backbones[0] else "white"
        marker: dict[str, Any] = {"marker": look.marker, "color": look.colour, "markerfacecolor": face}
        marker |= {"markersize": 4.5, "markeredgewidth": 0.9}
        name = f"{row}, {backbone_label(backbone)}" if len(backbones) > 1 else row
        handles.append(Line2D([], [], linestyle="", label=name, **marker))
        for place, panel in enumerate(panels):
            found = points[(points["panel"] == panel) & (points["backbone"] == backbone) & (points["row"] == row)]
            y = [place * band + LANE_INCHES * (lane + 1.5)] * len(found)
            axes.plot(found["deviation"], y, linewidth=0.7, **marker)
    for place in range(1, len(panels)):
        axes.axhline(place * band, color=MUTED, linewidth=0.5)
    names = [panel.replace(", ", "\n", 1) for panel in panels]
    axes.set_yticks([(place + 0.5) * band for place in range(len(panels))], names)
    axes.set_ylim(len(panels) * band, 0)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel(f"distance from the mean over seeds\n(percentage points; {seed_count(points)})")
    figure.legend(handles=handles, loc="outside upper left", ncols=3, handletextpad=0.2, columnspacing=1.2)
    return figure

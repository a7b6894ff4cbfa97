"""Draws the spread over seeds: each value's distance from the mean over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from results.errors import InputError
from results.figures._points import evaluation_points, numbers, rows_in_order, seed_count, without_ablations
from results.figures._style import INK, MUTED, backbone_label, method_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

TITLE = "Spread over seeds"
CAPTION = (
    "Each dot is one seed's distance, in percentage points, from the mean over the seeds of its method, backbone and "
    "protocol. A difference between methods has to be seen against this spread. Metrics in other units are left out."
)
LANE_INCHES = 0.11


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per seed, for methods with at least two seeds.

    Raises
    ------
    InputError
        No row has two seeds.
    """
    points = evaluation_points(without_ablations(frame))
    points = points[points["declaration"].map(lambda metric: metric.unit == "%")].copy()
    values = points.groupby(["panel", "backbone", "row"], sort=False)["value"]
    points["n"] = values.transform("size")
    points["mean"] = values.transform("mean")
    points["deviation"] = points["value"] - points["mean"]
    spread = points[points["n"] > 1]
    if spread.empty:
        raise InputError("no method has two finished seeds under one protocol; spread needs at least two")
    return numbers(spread)


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """Draw one band per protocol and dataset, with one lane per method, backbone and setting."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    points = data(runs, frame)
    backbones = list(points.sort_values("place")["backbone"].unique())
    panels = list(points["panel"].unique())
    lanes = {panel: rows_in_order(points[points["panel"] == panel]) for panel in panels}
    heights = [LANE_INCHES * (max(len(rows), 2) + 2) for rows in lanes.values()]
    tops = [sum(heights[:index]) for index in range(len(panels) + 1)]
    handles: dict[str, Line2D] = {}
    figure = Figure(figsize=(6.4, tops[-1] + 1.5))
    axes = figure.subplots()
    axes.axvline(0, color=MUTED, linewidth=0.8)
    for top, (panel, rows) in zip(tops, lanes.items(), strict=False):
        for lane, (backbone, row, variant) in enumerate(rows.itertuples(index=False)):
            look = method_style(variant)
            face = (look.colour, "white", "#cccccc")[backbones.index(backbone) % 3]
            marker: dict[str, Any] = {"marker": look.marker, "color": look.colour, "markerfacecolor": face}
            marker |= {"markersize": 4.5, "markeredgewidth": 0.9}
            name = f"{look.label}, {backbone_label(backbone)}" if len(backbones) > 1 else look.label
            handles.setdefault(name, Line2D([], [], linestyle="", label=name, **marker))
            found = points[(points["panel"] == panel) & (points["backbone"] == backbone) & (points["row"] == row)]
            y = [top + LANE_INCHES * (lane + 1.5)] * len(found)
            axes.plot(found["deviation"], y, linewidth=0.7, **marker)
    for top in tops[1:-1]:
        axes.axhline(top, color=MUTED, linewidth=0.5)
    names = [panel.replace(", ", "\n", 1) for panel in panels]
    axes.set_yticks([top + height / 2 for top, height in zip(tops, heights, strict=False)], names)
    axes.set_ylim(tops[-1], 0)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel(f"distance from the mean over seeds\n(percentage points; {seed_count(points)})")
    figure.legend(
        handles=list(handles.values()), loc="outside upper left", ncols=3, handletextpad=0.2, columnspacing=1.2
    )
    return figure

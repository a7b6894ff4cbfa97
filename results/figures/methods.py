"""Draws each method's results as dots, one panel per protocol and dataset."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.figures._points import evaluation_points, numbers, rows_in_order, seed_count, without_ablations
from results.figures._style import GRID, INK, MUTED, backbone_label, method_style, panel_grid
from results.statistics import mean, standard_error

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from results.store import Run

TITLE = "Methods under each protocol"
CAPTION = (
    "Large marker and number: mean over seeds. Where there are several: bar ± one standard error, small dots "
    "the single seeds. Each panel has its own axis, which need not start at 0. Ablations have figures of their own."
)
TITLE_CHARACTERS = 24
"""Longest line of a panel's title, in characters."""
GROUP = ["panel", "backbone", "row", "variant", "protocol", "dataset", "metric"]


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per seed, with mean, standard error and n over the seeds of its row and panel."""
    points = evaluation_points(without_ablations(frame))
    values = points.groupby(GROUP, sort=False)["value"]
    points["n"] = values.transform("size")
    points["mean"] = values.transform("mean")
    points["standard_error"] = values.transform("sem")
    return numbers(points)


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """Draw the panels; panels side by side share the method labels, and each prints its means at the right edge."""
    from matplotlib.figure import Figure

    points = evaluation_points(without_ablations(frame))
    panels = list(points["panel"].unique())
    titles = _titles(panels)
    rows, columns = panel_grid(len(panels))
    # A line of panels has rows only for methods with points in one of its panels.
    lines = [points[points["panel"].isin(panels[start : start + columns])] for start in range(0, len(panels), columns)]
    positions = [_row_positions(line) for line in lines]
    heights = [0.24 * (max(places.values()) + 1) + 1.05 for places in positions]
    figure = Figure(figsize=(1.6 + 2.15 * columns, sum(heights) + 0.3))
    grid = figure.subplots(rows, columns, sharey="row", squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for number, panel in enumerate(panels):
        _draw_panel(grid.flat[number], points[points["panel"] == panel], positions[number // columns])
        grid.flat[number].set_title(titles[panel])
    for axes, places in zip(grid[:, 0], positions, strict=True):
        _label_rows(axes, places)
    bars = "; bars: ± standard error" if points.duplicated(GROUP).any() else ""
    figure.supxlabel(f"{seed_count(points)}{bars}; axes do not start at 0", fontsize=8.5, color=MUTED)
    return figure


def _titles(panels: Sequence[str]) -> dict[str, str]:
    """Return panel → its title, with the metric if one evaluation has several metrics."""
    headings = Counter(panel.rsplit("\n", 1)[0] for panel in panels)
    titles = {}
    for panel in panels:
        heading, unit = panel.rsplit("\n", 1)
        lines = [*heading.split("\n"), *([unit.removesuffix(" (%)")] if headings[heading] > 1 else [])]
        titles[panel] = "\n".join(textwrap.fill(line, TITLE_CHARACTERS) for line in lines)
    return titles


def _row_positions(points: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Return (backbone, row) → vertical position; the row ``""`` is the backbone's heading."""
    positions: dict[tuple[str, str], float] = {}
    height = 0.0
    for backbone, row in rows_in_order(points)[["backbone", "row"]].itertuples(index=False):
        if (backbone, "") not in positions:
            height += 0.4 if positions else 0.0
            positions[backbone, ""] = height
            height += 1
        positions[backbone, row] = height
        height += 1
    return positions


def _draw_panel(axes: Axes, points: pd.DataFrame, positions: dict[tuple[str, str], float]) -> None:
    axes.set_xlabel(points["declaration"].iloc[0].label_with_unit)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for key, found in points.groupby(["backbone", "row", "variant"], sort=False):
        backbone, row, variant = map(str, key)
        look = method_style(variant)
        y = positions[backbone, row]
        values = found["value"].tolist()
        centre, error = mean(values), standard_error(values)
        axes.axhline(y, color=GRID, linewidth=0.6, zorder=0)
        if len(values) > 1:
            axes.scatter(values, [y + 0.3] * len(values), s=7, color=look.colour, alpha=0.65, linewidths=0, zorder=2)
        axes.errorbar(centre, y, xerr=error, color=look.colour, elinewidth=1.6, zorder=3)
        axes.scatter(
            centre, y, s=38, marker=look.marker, color=look.colour, edgecolors="white", linewidths=0.7, zorder=4
        )
        decimals = found["declaration"].iloc[0].decimals
        axes.text(
            1.0, y, f"{centre:.{decimals}f}", transform=axes.get_yaxis_transform(), ha="left", va="center", fontsize=8
        )
    axes.margins(x=0.08)
    axes.locator_params(axis="x", nbins=5, min_n_ticks=3)


def _label_rows(axes: Axes, positions: dict[tuple[str, str], float]) -> None:
    axes.set_ylim(max(positions.values()) + 0.8, -0.6)
    labels = [row or backbone_label(backbone) for backbone, row in positions]
    axes.set_yticks(list(positions.values()), labels)
    for tick, (_, row) in zip(axes.get_yticklabels(), positions, strict=True):
        tick.set_fontweight("normal" if row else "bold")
        tick.set_color(INK)

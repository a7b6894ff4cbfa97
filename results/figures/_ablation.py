"""Draws figures in which one setting of a method varies, like the paper's Figures 5 to 8.

The left panel shows the task whose labels the pretraining saw, the right panel a transfer task; the paper shows
ImageNet finetuning and ADE20K segmentation. Points on one line differ only in the varied setting and the seed.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from results.columns import Role, declared, method_options
from results.errors import InputError
from results.figures._points import evaluation_points, n_of, require_one_setting
from results.figures._style import (
    MUTED,
    MethodStyle,
    backbone_label,
    backbone_order,
    method_style,
    protocol_order,
)
from results.frame import records
from results.reference import load_methods
from results.statistics import mean, standard_error

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from results.store import Run

CAPTION = (
    "Left: the task the labels of pretraining belong to. Right: transfer. Mean over seeds ± one standard error, small "
    "dots the single seeds; a line joins runs that differ in nothing else, of each network the setting that was varied "
    "most. Axes do not start at 0."
)
FIRST_PROTOCOLS = {"classification": ("finetune",), "transfer": ("segmentation", "transfer")}
"""Side of a figure → protocols that it shows if they have results, as the paper does; other protocols come after."""
_LINES = ("-", "--", ":", "-.")
_OTHER_MARKERS = ("D", "*", "h")


@dataclass(frozen=True)
class Ablation:
    """A figure in which one column of our method's runs varies, with the attributes of a figure module."""

    TITLE: str
    column: str
    label: str
    doubling: bool = True
    CAPTION: str = CAPTION

    def data(self, runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
        """Return one row per seed, see ``ablation_data``."""
        return ablation_data(frame, self.column, load_methods().ours)

    def draw(self, runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
        """Draw a panel per task."""
        return draw_ablation(self.data(runs, frame), self.column, self.label, doubling=self.doubling)


ABLATIONS = {
    "figure6": Ablation("Layers of the class head", "mlp_layers", "MLP layers", doubling=False),
    "figure7": Ablation("Embedding dimension", "embedding_dimension", "embedding dimension"),
    "figure8": Ablation("Hidden dimension of the class head", "hidden_dimension", "hidden dimension"),
}
"""The paper's Figures 6 to 8."""


def ablation_data(frame: pd.DataFrame, field: str, method: str) -> pd.DataFrame:
    """Return one row per seed: side, panel, series, the settings, metric, seed, run_id, value, in drawing order.

    Raises
    ------
    InputError
        No protocol has ``method`` under two values of ``field`` that differ in nothing else.
    """
    import pandas as pd

    nothing = InputError(f"no protocol has results of {method} for two values of {field} that differ in nothing else")
    if field not in frame:
        raise nothing
    points = evaluation_points(frame[frame["method"] == method])
    points = points[(points["variant"] == method) & points[field].notna()].copy()
    settings = series_settings(frame, points)
    others = [name for name in settings if name != field]
    for name in others:  # pandas can't sort text among numbers
        if points[name].dropna().map(lambda value: isinstance(value, str)).nunique() > 1:
            points[name] = points[name].map(str, na_action="ignore")
    sides = [_first_compared(found, side, field, others).assign(side=side) for side, found in by_side(points).items()]
    found = pd.concat([side for side in sides if not side.empty] or [points.head(0).assign(side="")])
    if found.empty:
        raise nothing
    require_one_setting(found, ["side", *settings])
    found = found.assign(series=_series(found, others))
    columns = ["side", "panel", "series", *settings, "protocol", "dataset", "metric", "seed", "run_id", "value"]
    return found[columns].reset_index(drop=True)


def series_settings(frame: pd.DataFrame, points: pd.DataFrame) -> list[str]:
    """Return the columns in which the runs of one line agree: data and scale of pretraining, the method's options."""
    further = [*method_options(map(str, frame.columns)), "pretraining_data"]
    return [*declared(Role.SCALE), *(name for name in further if points[name].notna().any())]


def by_side(points: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return side of a figure → its points: the task whose labels the pretraining saw, and transfer to other data."""
    same_task = points["dataset"] == points["pretrain_dataset"]
    return dict(zip(FIRST_PROTOCOLS, (points[same_task], points[~same_task]), strict=True))


def protocols_in_order(points: pd.DataFrame, side: str) -> list[str]:
    """Return the protocols of ``points``: the paper's for this side first."""
    first = FIRST_PROTOCOLS[side]
    names = points["protocol"].unique()
    return sorted(names, key=lambda name: (first.index(name) if name in first else len(first), protocol_order(name)))


def draw_ablation(
    points: pd.DataFrame, field: str, label: str, *, doubling: bool = False, paper: Sequence[Any] = ()
) -> Figure:
    """Draw a panel per task.

    Parameters
    ----------
    points
        Result of ``ablation_data``.
    doubling
        Whether the setting is varied by factors of 2, so that its axis is logarithmic.
    paper
        Further panels with published numbers: (heading, unit, [(x, y)]).
    """
    from matplotlib.figure import Figure

    panels = points["panel"].nunique()
    figure = Figure(figsize=(2.8 * (panels + len(paper)) + 0.4, 2.9))
    grid = figure.subplots(1, panels + len(paper), squeeze=False)[0]
    draw_panels(grid[:panels], points, field, label, load_methods().ours)
    look = method_style(load_methods().ours)
    for axes, (heading, unit, printed) in zip(grid[panels:], paper, strict=True):
        axes.plot(*zip(*printed, strict=True), look.marker, color=look.colour, markerfacecolor="white")
        axes.set_title(heading, fontsize=8.5, fontweight="normal")
        axes.set_xlabel(label, color=MUTED)
        axes.set_ylabel(unit)
        axes.margins(x=0.1, y=0.15)
        axes.set_xticks([x for x, _ in printed])
    for axes in grid:
        axes.grid(axis="y")
        if doubling:
            ticks, labels = axes.get_xticks(), axes.get_xticklabels()
            axes.set_xscale("log", base=2)
            axes.set_xticks(ticks, labels)
            axes.minorticks_off()
    return figure


def draw_panels(grid: Sequence[Axes], points: pd.DataFrame, field: str, label: str, method: str) -> None:
    """Draw one panel of ``points`` into each axes of ``grid``; values that aren't numbers stand at equal distances."""
    series = [
        name for _, name in sorted(set(zip(points["backbone"], points["series"], strict=True)), key=_series_order)
    ]
    values = sorted(points[field].unique(), key=lambda value: (isinstance(value, str), value))
    are_numbers = all(isinstance(value, numbers.Real) for value in values)
    positions = {value: float(value) if are_numbers else float(index) for index, value in enumerate(values)}
    for axes, panel in zip(grid, points["panel"].unique(), strict=True):
        found = points[points["panel"] == panel]
        _draw_panel(axes, found, field, series, positions, method_style(method))
        axes.set_xlabel(f"{label} ({n_of(found.groupby(['series', field]).size())})", color=MUTED)
        *heading, unit = panel.split("\n")
        axes.set_title("\n".join(heading), fontsize=8.5, fontweight="normal")
        axes.set_ylabel(unit)
        axes.grid(axis="y")
        axes.set_xticks(list(positions.values()), [f"{value:g}" if are_numbers else str(value) for value in positions])


def _first_compared(points: pd.DataFrame, side: str, field: str, others: list[str]) -> pd.DataFrame:
    """Return points of the side's first protocol that has several values of ``field`` with all ``others`` equal.

    Keeps one metric, one panel, and for each backbone the series with the most values of ``field``. Ties go to the
    smallest values of ``others``, such as the smallest batch, as in the paper's ablations.
    """
    values = points.groupby([*others, "panel"], dropna=False)[field].transform("nunique")
    compared = points.assign(values=values)[values > 1]
    for protocol in protocols_in_order(compared, side):
        found = compared[compared["protocol"] == protocol]
        found = found[found["metric"] == found["metric"].min()]
        found = found[
            found["panel"] == found.sort_values(["values", "place"], ascending=[False, True])["panel"].iloc[0]
        ]
        ranked = found.sort_values(["values", *others], ascending=[False, *([True] * len(others))])
        chosen = ranked.drop_duplicates("backbone")[[*others]]
        kept: pd.DataFrame = found.merge(chosen, on=others, how="inner").drop(columns="values")
        return kept
    return points.head(0)


def _series(points: pd.DataFrame, others: list[str]) -> list[str]:
    """Return each point's series name: its backbone and the settings that distinguish series of one backbone.

    If the figure has pretrainings on several sets of one dataset's name, the name includes the fingerprint.
    """
    values = points.groupby("backbone")[others].nunique(dropna=False).max()
    varied = [name for name in others if name == "pretraining_data" or (name != "backbone" and values[name] > 1)]
    names = []
    for row in records(points):
        settings = {name.replace("_", " "): row[name] for name in varied if row[name] is not None}
        shown = (
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in settings.items()
        )
        names.append(", ".join([backbone_label(row["backbone"]), *shown]))
    return names


def _series_order(series: tuple[str, str]) -> tuple[tuple[int, str], str]:
    backbone, name = series
    return backbone_order(backbone), name


def _draw_panel(
    axes: Axes,
    points: pd.DataFrame,
    field: str,
    series: Sequence[str],
    positions: Mapping[Any, float],
    look: MethodStyle,
) -> None:
    """Draw one panel; ``series`` lists all series of the figure, so that each has one style in all panels."""
    markers = (look.marker, *_OTHER_MARKERS)
    for number, name in enumerate(series):
        if name not in set(points["series"]):
            continue
        found = points[points["series"] == name].groupby(field)["value"].agg(list)
        axes.errorbar(
            [positions[value] for value in found.index],
            [mean(values) for values in found],
            yerr=[standard_error(values) or 0.0 for values in found],
            color=look.colour,
            linestyle=_LINES[number % len(_LINES)],
            linewidth=1.2,
            marker=markers[number % len(markers)],
            markersize=6.5,
            label=name,
        )
        for value, values in found.items():
            if len(values) > 1:
                axes.scatter([positions[value]] * len(values), values, s=6, color=MUTED, linewidths=0, zorder=1)
    axes.margins(x=0.08, y=0.12)
    axes.legend(fontsize=7.5, handlelength=2.6)

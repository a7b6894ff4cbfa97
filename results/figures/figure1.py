"""Draws the paper's Figure 1: all downstream tasks for the methods that ``results/reference/methods.yaml`` names."""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from results.declarations import find_declaration
from results.errors import InputError
from results.figures._points import evaluation_points, n_of, require_one_setting
from results.figures._style import INK, backbone_label, backbone_order, method_style, protocol_label
from results.reference import load_methods, load_reference, published_number
from results.statistics import mean, standard_error
from results.tables.layout import lay_out
from results.titles import dataset_title
from results.variants import none_if_missing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from results.store import Run

TITLE = "Downstream tasks"
CAPTION = (
    "All bars of a network belong to one pretraining setting (data, epochs, batch size), all bars of a task to one way "
    "of judging (recipe, F.T. epochs, schedule): what most methods share. Of several, the longer pretraining, then the "
    "smaller batch; the protocol as its recipe has it, then the longer one. A method without such a run has no bar. "
    "Mean over seeds ± one standard error, from 0. Black ticks: what the paper prints for the same setting."
)
_METRICS = ("top1", "mIoU", "box_AP", "mask_AP")
_PROTOCOLS = ("linear", "finetune", "transfer", "segmentation", "detection")
_PRETRAINING = ("pretrain_dataset", "pretrain_epochs", "global_batch_size", "pretraining_data")
_EVALUATION = ("finetune_epochs", "schedule", "protocol_recipe", "protocol_changes", "fingerprint")
_TABLES = ("table1", "table2", "table3", "table4", "table5", "table6")


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per bar: backbone, task, method, settings, mean, standard_error, n, and the paper's number.

    Raises
    ------
    InputError
        No task has two of the methods in one setting, or runs of one bar differ in a setting the figure can't show.
    """
    import pandas as pd

    points = evaluation_points(frame[frame["ablated"].isin(["none"])])
    points = points[
        points["variant"].isin(_methods()) & points["metric"].isin(_METRICS) & points["protocol"].isin(_PROTOCOLS)
    ]
    bars: list[dict[str, Any]] = []
    for _, of_backbone in points.groupby("backbone", sort=False):
        alike = _select_pretraining(of_backbone)
        for _, of_task in alike.groupby(["protocol", "dataset", "metric"], sort=False):
            bars += [_bar(found) for _, found in _select_evaluation(of_task).groupby("variant", sort=False)]
    if max(Counter((bar["backbone"], bar["task"]) for bar in bars).values(), default=0) < 2:
        raise InputError(f"no task has results of two of {', '.join(_methods())} in one setting")
    bars.sort(
        key=lambda bar: (
            backbone_order(bar["backbone"]),
            _PROTOCOLS.index(bar["protocol"]),
            bar["task"],
            _methods().index(bar["method"]),
        )
    )
    return pd.DataFrame(bars)


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """Draw a panel per network with a group of bars per task."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    bars = data(runs, frame)
    backbones = list(bars["backbone"].unique())
    by_protocol = sorted(zip(bars["protocol"], bars["task"], strict=True), key=lambda pair: _PROTOCOLS.index(pair[0]))
    tasks = {task: f"{task}{_length(bars[bars['task'] == task])}" for _, task in by_protocol}
    methods = [name for name in _methods() if name in set(bars["method"])]
    figure = Figure(figsize=(1.6 + 2.7 * len(backbones), 0.9 + 0.2 * (len(methods) + 1) * len(tasks)))
    for axes, backbone in zip(
        figure.subplots(1, len(backbones), squeeze=False, sharey=True)[0], backbones, strict=True
    ):
        _draw_panel(axes, bars[bars["backbone"] == backbone], tasks, methods)
        axes.set_title(f"{backbone_label(backbone)}{_pretraining(bars[bars['backbone'] == backbone])}")
    handles = [Patch(**_look(name), label=method_style(name).label) for name in methods]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure


def _draw_panel(axes: Axes, bars: pd.DataFrame, tasks: dict[str, str], methods: list[str]) -> None:
    """Draw one network's bars; ``tasks`` maps each task to its label."""
    positions = {task: index for index, task in enumerate(tasks)}
    height = 1 / (len(methods) + 1)
    for bar in bars.to_dict("records"):
        y = positions[bar["task"]] + methods.index(bar["method"]) * height
        error = None if bar["n"] < 2 else bar["standard_error"]
        axes.barh(
            y, bar["mean"], height * 0.9, xerr=error, error_kw={"linewidth": 1, "ecolor": INK}, **_look(bar["method"])
        )
        axes.text(101.5, y, f"{bar['mean']:.1f}", va="center", fontsize=7, color=INK)
        if bar["paper"] == bar["paper"]:  # not NaN
            axes.plot([bar["paper"]] * 2, [y - height / 2, y + height / 2], color="black", linewidth=1.6)
    axes.set_xlim(0, 100)
    axes.set_yticks([index + height * (len(methods) - 1) / 2 for index in positions.values()], list(tasks.values()))
    axes.set_ylim(len(tasks) - height / 2, -height)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_xlabel(f"% ({n_of(bars['n'])})")
    axes.grid(axis="x")


def _methods() -> tuple[str, ...]:
    return load_methods().compared["figure1"]


def _look(method: str) -> dict[str, Any]:
    return {
        "facecolor": method_style(method).colour,
        "hatch": load_methods().variants[method].hatch,
        "edgecolor": "white",
        "linewidth": 0,
    }


def _task(protocol: str, dataset: str, name: str) -> str:
    what = {"box_AP": " (box AP)", "mask_AP": " (mask AP)", "mIoU": " (mIoU)"}.get(name, "")
    return f"{protocol_label(protocol)}{what}\n{dataset_title(dataset)}"


def _pretraining(bars: pd.DataFrame) -> str:
    formats = [("pretrain_epochs", "{:g} epochs"), ("global_batch_size", "batch {:g}"), ("pretraining_data", "data {}")]
    known = [text.format(bars[field].dropna().iloc[0]) for field, text in formats if bars[field].notna().any()]
    return f"\n{', '.join(known)}" if known else ""


def _length(bars: pd.DataFrame) -> str:
    """Return the label text of a task's evaluation length: epochs (a range if networks differ) and schedules."""
    epochs, schedules = sorted(bars["finetune_epochs"].dropna().unique()), sorted(bars["schedule"].dropna().unique())
    ends = "–".join(dict.fromkeys(f"{count:g}" for count in epochs[:1] + epochs[-1:]))
    return "".join([f", {ends} epochs" if epochs else "", *(f", {name}" for name in schedules)])


def _select_pretraining(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points of the pretraining setting that most variants share.

    Ties go to more epochs, then to the smaller batch, then to more runs. An imported checkpoint's
    unknown settings match any value.
    """

    def fitting(setting: dict[Any, Any]) -> pd.DataFrame:
        fits = [points[field].isna() | (points[field] == setting[field]) for field in _PRETRAINING]
        found: pd.DataFrame = points[functools.reduce(operator.and_, fits)]
        return found

    def rank(setting: dict[Any, Any]) -> tuple[int, int, int, int]:
        epochs, batch = (none_if_missing(setting[field]) or 0 for field in ("pretrain_epochs", "global_batch_size"))
        found = fitting(setting)
        return found["variant"].nunique(), epochs, -batch, len(found)

    return fitting(max(points[[*_PRETRAINING]].drop_duplicates().to_dict("records"), key=rank))


def _select_evaluation(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points of a task under the evaluation setting that most variants share.

    Ties go to the unchanged recipe, then to more epochs, then to the longer schedule.
    """

    def rank(found: pd.DataFrame) -> tuple[int, bool, int, str]:
        setting = {field: none_if_missing(found[field].iloc[0]) for field in _EVALUATION}
        as_written = setting["protocol_changes"] is None
        return found["variant"].nunique(), as_written, setting["finetune_epochs"] or 0, setting["schedule"] or ""

    return max((found for _, found in points.groupby([*_EVALUATION], dropna=False, sort=False)), key=rank)


def _bar(points: pd.DataFrame) -> dict[str, Any]:
    require_one_setting(points, ["variant"])
    run = {str(key): none_if_missing(value) for key, value in points.iloc[0].items()}
    values = points["value"].tolist()
    return {
        "backbone": run["backbone"],
        "task": _task(run["protocol"], run["dataset"], run["metric"]),
        "method": run["variant"],
        **{name: run[name] for name in (*_PRETRAINING, "protocol", "dataset", "metric")},
        **{name: run[name] for name in ("finetune_epochs", "schedule", "protocol_recipe")},
        "mean": mean(values),
        "standard_error": standard_error(values),
        "n": len(values),
        "paper": _published(run, run["variant"]),
    }


def _published(bar: dict[str, Any], variant: str) -> float | None:
    """Return a bar's published number: the first cell of Tables 1 to 6 whose query matches it; None without one."""
    known = {**bar, "method": variant, "stage": bar["protocol"]}
    for name in _TABLES:
        for row in lay_out(find_declaration(name), load_reference()).rows:
            for slot in row.slots if row.published_by == "paper" else ():
                if slot.query is not None and slot.published and all(known.get(k) == v for k, v in slot.query.items()):
                    return published_number(slot.published)
    return None

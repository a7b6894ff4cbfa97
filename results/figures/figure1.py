"""Every downstream task at one glance, OPERA beside supervised and self-supervised: the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from results.declarations import find_declaration
from results.errors import InputError
from results.figures._points import evaluation_points
from results.figures._style import INK, backbone_label, backbone_order, method_style, protocol_label
from results.metrics import metric
from results.reference import load_reference, published_number
from results.statistics import mean, standard_error
from results.tables.layout import lay_out
from results.titles import dataset_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from results.store import Run

TITLE = "Downstream tasks"
CAPTION = (
    "Each method's longest pretraining at the batch size that most methods share, and its longest evaluation; mean "
    "over seeds ± one standard error, from 0. Black ticks: what the paper prints for the same network, data and epochs."
)
METHODS = ("supervised", "moco_v3", "opera")
_HATCHES = {"supervised": "", "moco_v3": "////", "opera": ""}
_METRICS = ("top1", "mIoU", "box_AP", "mask_AP")
_PROTOCOLS = ("linear", "finetune", "transfer", "segmentation", "detection")
_TABLES = ("table1", "table2", "table3", "table4", "table5", "table6")


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """One line per bar: backbone, task, method, its settings, mean, standard_error, n, and the paper's number.

    Raises
    ------
    InputError
        No task has two of the methods.
    """
    import pandas as pd

    points = evaluation_points(frame[frame["ablated"].isin(["none"])])
    points = points[
        points["variant"].isin(METHODS) & points["metric"].isin(_METRICS) & points["protocol"].isin(_PROTOCOLS)
    ]
    if points.empty or points.groupby("backbone")["variant"].nunique().max() < 2:
        raise InputError("no network has results of two of supervised, moco_v3 and opera")
    bars: list[dict[str, Any]] = []
    for backbone, of_backbone in points.groupby("backbone", sort=False):
        chosen = of_backbone[of_backbone["global_batch_size"] == _shared_batch(of_backbone)]
        for (variant, protocol, dataset, name), found in chosen.groupby(
            ["variant", "protocol", "dataset", "metric"], sort=False
        ):
            longest = _longest(found)
            values = longest["value"].tolist()
            first = longest.iloc[0].to_dict()
            bars.append(
                {
                    "backbone": backbone,
                    "task": _task(str(protocol), str(dataset), str(name)),
                    "method": variant,
                    **{k: first[k] for k in ("pretrain_dataset", "pretrain_epochs", "global_batch_size")},
                    **{k: first[k] for k in ("protocol", "dataset", "metric", "finetune_epochs", "schedule")},
                    "mean": mean(values),
                    "standard_error": standard_error(values),
                    "n": len(values),
                    "paper": _published({str(k): v for k, v in first.items()}, str(variant)),
                }
            )
    places = {name: place for place, name in enumerate(_PROTOCOLS)}
    bars.sort(
        key=lambda b: (backbone_order(b["backbone"]), places[b["protocol"]], b["task"], METHODS.index(b["method"]))
    )
    return pd.DataFrame(bars)


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """A panel per network, a group of bars per task."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    bars = data(runs, frame)
    backbones = list(bars["backbone"].unique())
    by_protocol = sorted(zip(bars["protocol"], bars["task"], strict=True), key=lambda pair: _PROTOCOLS.index(pair[0]))
    tasks = list(dict.fromkeys(task for _, task in by_protocol))
    methods = [name for name in METHODS if name in set(bars["method"])]
    figure = Figure(figsize=(1.6 + 2.7 * len(backbones), 0.9 + 0.2 * (len(methods) + 1) * len(tasks)))
    for axes, backbone in zip(
        figure.subplots(1, len(backbones), squeeze=False, sharey=True)[0], backbones, strict=True
    ):
        _draw_panel(axes, bars[bars["backbone"] == backbone], tasks, methods)
        axes.set_title(backbone_label(backbone))
    handles = [Patch(**_look(name), label=method_style(name).label) for name in methods]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure


def _draw_panel(axes: Axes, bars: pd.DataFrame, tasks: list[str], methods: list[str]) -> None:
    height = 1 / (len(methods) + 1)
    for bar in bars.to_dict("records"):
        y = tasks.index(bar["task"]) + methods.index(bar["method"]) * height
        error = None if bar["n"] < 2 else bar["standard_error"]
        axes.barh(
            y, bar["mean"], height * 0.9, xerr=error, error_kw={"linewidth": 1, "ecolor": INK}, **_look(bar["method"])
        )
        decimals = metric(bar["metric"]).decimals
        axes.text(101.5, y, f"{bar['mean']:.{decimals}f}", va="center", fontsize=7, color=INK)
        if bar["paper"] == bar["paper"]:  # not NaN
            axes.plot([bar["paper"]] * 2, [y - height / 2, y + height / 2], color="black", linewidth=1.6)
    axes.set_xlim(0, 100)
    axes.set_yticks([place + height * (len(methods) - 1) / 2 for place in range(len(tasks))], tasks)
    axes.set_ylim(len(tasks) - height / 2, -height)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_xlabel("%")
    axes.grid(axis="x")


def _look(method: str) -> dict[str, Any]:
    return {"facecolor": method_style(method).colour, "hatch": _HATCHES[method], "edgecolor": "white", "linewidth": 0}


def _task(protocol: str, dataset: str, name: str) -> str:
    what = {"box_AP": " (box AP)", "mask_AP": " (mask AP)", "mIoU": " (mIoU)"}.get(name, "")
    return f"{protocol_label(protocol)}{what}\n{dataset_title(dataset)}"


def _shared_batch(points: pd.DataFrame) -> int:
    shared = points.groupby("global_batch_size")["variant"].nunique()
    return int(shared[shared == shared.max()].index.min())


def _longest(points: pd.DataFrame) -> pd.DataFrame:
    """The runs of one setting: longest pretraining, then longest evaluation."""
    for column in ("pretrain_epochs", "finetune_epochs", "schedule"):
        if points[column].notna().any():
            points = points[points[column] == points[column].dropna().max()]
    one: pd.DataFrame = points[points["setting"] == points["setting"].min()]
    return one


def _published(bar: dict[str, Any], variant: str) -> float | None:
    """The number of the first of Tables 1 to 6 whose cell asks for exactly this."""
    known = {**bar, "method": variant, "stage": bar["protocol"], "arrangement": "C"}
    for name in _TABLES:
        for row in lay_out(find_declaration(name), load_reference()).rows:
            for slot in row.slots if row.published_by == "paper" else ():
                if slot.query is not None and slot.published and all(known.get(k) == v for k, v in slot.query.items()):
                    return published_number(slot.published)
    return None

"""Draws the paper's Figure 4: arrangements A, B, C of the class head, our numbers beside the published ones.

The left side shows the task whose labels the pretraining saw, the right side a transfer task. The published numbers are
ImageNet finetuning and ADE20K segmentation; each panel's title names its data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from results.columns import Role, declared
from results.errors import InputError
from results.figures._ablation import by_side, protocols_in_order, series_settings
from results.figures._points import evaluation_points, n_of, require_one_setting
from results.figures._style import GRID, MUTED, backbone_label, method_style, protocol_label
from results.reference import load_methods, load_reference
from results.statistics import mean, standard_error
from results.titles import dataset_title
from results.variants import none_if_missing, variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from results.store import Run

TITLE = "Arrangements of the class head"
CAPTION = (
    "Left: the task the labels of pretraining belong to. Right: transfer. Filled: ours, mean over seeds ± one standard "
    "error, small dots the single seeds. Open: the paper's Figure 4 (ViT-S, ImageNet finetuning and ADE20K). Each "
    "panel has its own axis, which does not start at 0."
)
_PUBLISHED = {
    "classification": ("Cls", "finetune", "imagenet", "top1"),
    "transfer": ("Seg", "segmentation", "ade20k", "mIoU"),
}
_OPTION = "arrangement"
_PANEL = ["side", "source", *declared(Role.SCALE), "pretraining_data", "panel"]


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per number: side, source (ours or paper), pretraining, evaluation, arrangement, seed, value.

    Raises
    ------
    InputError
        No protocol has results for two arrangements that differ in nothing else, or one arrangement has runs
        that differ in a setting the figure can't show.
    """
    numbers = _numbers(frame)
    return numbers.assign(panel=numbers["panel"].str.replace("\n", ", "))


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """Draw one row of panels; the last panel of each side shows the published numbers."""
    from matplotlib.figure import Figure

    numbers = _numbers(frame)
    panels = [found for _, found in numbers.groupby(_PANEL, sort=False, dropna=False)]
    sides = [[found for found in panels if found["side"].iloc[0] == side] for side in _PUBLISHED]
    figure = Figure(figsize=(1.8 * len(panels) + 0.6, 3.1))
    widths = [len(side) for side in sides]
    parts = figure.subfigures(1, 2, squeeze=False, width_ratios=widths)
    for part, side, heading in zip(parts.flat, sides, _PUBLISHED, strict=True):
        part.suptitle(heading.capitalize(), fontsize=10.5, fontweight="bold")
        for axes, found in zip(part.subplots(1, len(side), squeeze=False).flat, side, strict=True):
            _draw_panel(axes, found)
    return figure


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    method = load_methods().ours
    nothing = InputError(f"no protocol has results for two arrangements of {method}; sweep arrangement: [A, B, C]")
    if _OPTION not in frame:
        raise nothing
    points = evaluation_points(frame[frame["method"] == method])
    points = points[points["variant"].isin([_variant(arrangement) for arrangement in _arrangements()])]
    alike = [name for name in series_settings(frame, points) if name != _OPTION]
    ours = {side: _best_protocol(found, side, alike) for side, found in by_side(points.assign(source="ours")).items()}
    if all(found.empty for found in ours.values()):
        raise nothing
    lines: list[pd.DataFrame] = []
    for side, found in ours.items():
        lines += [found.assign(side=side), pd.DataFrame(_published(side))]
    columns = [*_PANEL, "protocol", "dataset", "metric", "arrangement", "seed", "value"]
    return pd.concat([line.reindex(columns=columns) for line in lines if not line.empty], ignore_index=True)


def _arrangements() -> list[str]:
    return [column.removeprefix("Arrangement ") for column in load_reference().tables["figure4"].columns[1:]]


def _variant(arrangement: str) -> str:
    return variant({"method": load_methods().ours, _OPTION: arrangement})


def _best_protocol(points: pd.DataFrame, side: str, alike: Sequence[str]) -> pd.DataFrame:
    """Return the points of the side's first protocol with several arrangements: one metric, all datasets."""
    compared = points[points.groupby([*alike, "panel"], dropna=False)[_OPTION].transform("nunique") > 1]
    for protocol in protocols_in_order(compared, side):
        found: pd.DataFrame = compared[compared["protocol"] == protocol]
        found = found[found["metric"] == found["metric"].min()]
        require_one_setting(found, [*alike, "panel", _OPTION])
        return found
    return compared


def _published(side: str) -> list[dict[str, Any]]:
    task, protocol, dataset, metric = _PUBLISHED[side]
    reference = load_reference()
    table = reference.tables["figure4"]
    row = next(row for row in table.rows if row[0] == task)
    unit = reference.metrics[metric].declaration.label_with_unit
    return [
        {
            "side": side,
            "source": "paper",
            "backbone": "vit_small",
            "panel": f"{protocol_label(protocol)}, {dataset_title(dataset)}\n{unit}",
            "protocol": protocol,
            "dataset": dataset,
            "metric": metric,
            "arrangement": arrangement,
            "seed": None,
            "value": float(printed),
        }
        for arrangement, printed in zip(_arrangements(), row[1:], strict=True)
    ]


def _draw_panel(axes: Axes, numbers: pd.DataFrame) -> None:
    first = numbers.iloc[0]
    ours = first["source"] == "ours"
    *title, unit = first["panel"].split("\n")
    source = f"Ours, {first['pretrain_epochs']:g} epochs" if ours else "Paper"
    data = [f"pretraining data {first['pretraining_data']}"] if none_if_missing(first["pretraining_data"]) else []
    axes.set_title(
        "\n".join([f"{source}, {backbone_label(first['backbone'])}", *data, *title]), fontweight="normal", fontsize=8.5
    )
    axes.set_ylabel(unit)
    axes.grid(axis="y")
    positions = {arrangement: index for index, arrangement in enumerate(_arrangements())}
    means = numbers.groupby("arrangement")["value"].agg(list)
    axes.plot([positions[a] for a in means.index], [mean(v) for v in means], color=GRID, linewidth=1.5, zorder=1)
    for arrangement, values in means.items():
        look, x = method_style(_variant(str(arrangement))), positions[str(arrangement)]
        face = look.colour if ours else "white"
        axes.errorbar(x, mean(values), yerr=standard_error(values), color=look.colour, elinewidth=1.6, zorder=2)
        axes.scatter(x, mean(values), s=52, marker=look.marker, color=face, edgecolors=look.colour, zorder=3)
        if len(values) > 1:
            axes.scatter([x + 0.22] * len(values), values, s=8, color=look.colour, alpha=0.65, linewidths=0, zorder=2)
    axes.set_xticks(list(positions.values()), list(positions))
    axes.set_xlim(-0.5, 2.5)
    axes.margins(y=0.15)
    axes.locator_params(axis="y", nbins=5)
    n = f" ({n_of(means.map(len))})" if ours else ""  # the paper doesn't give its number of runs
    axes.set_xlabel(f"arrangement{n}", color=MUTED)

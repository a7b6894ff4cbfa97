"""Draws curves of one value over pretraining epochs, one panel per method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from results.figures._style import (
    backbone_label,
    backbone_order,
    method_order,
    method_style,
    panel_grid,
)
from results.runs import RunDirectory
from results.variants import variant

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.store import Run

LINE_STYLES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")


def curves_of(value: str, runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with columns run_id, variant, backbone, seed, epoch and ``value``; empty if no run reported ``value``.

    An interrupted run repeats the epochs since its last checkpoint; the last row of each epoch is used.
    """
    import pandas as pd

    pretrainings = frame[frame["stage"] == "pretrain"].to_dict("records")
    described = {row["run_id"]: {str(key): value for key, value in row.items()} for row in pretrainings}
    rows = []
    for run in runs:
        if run.run_id not in described:
            continue
        facts = described[run.run_id]
        values = {
            float(line["epoch"]): float(line[value])
            for line in RunDirectory(run.directory).read_progress()
            if isinstance(line.get("epoch"), int | float) and isinstance(line.get(value), int | float)
        }
        for epoch in sorted(values):
            rows.append(
                {
                    "run_id": run.run_id,
                    "variant": variant(facts),
                    "backbone": facts["backbone"],
                    "seed": facts["seed"],
                    "epoch": epoch,
                    value: values[epoch],
                }
            )
    rows.sort(
        key=lambda r: (method_order(r["variant"]), backbone_order(r["backbone"]), r["seed"], r["run_id"], r["epoch"])
    )
    return pd.DataFrame(rows, columns=["run_id", "variant", "backbone", "seed", "epoch", value])


def draw_curves(value: str, curves: pd.DataFrame, label: str, *, comparable: bool) -> Figure:
    """Draw one panel per method, with one line style per backbone.

    Parameters
    ----------
    curves
        Result of ``curves_of`` with at least one row.
    label
        Label of the vertical axes.
    comparable
        Whether all panels share the vertical axis.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    names = list(curves["variant"].unique())
    backbones = sorted(curves["backbone"].unique(), key=backbone_order)
    rows, columns = panel_grid(len(names))
    figure = Figure(figsize=(0.5 + 2.2 * columns, 2.1 * rows + 0.5))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=comparable)
    for axes in grid.flat[len(names) :]:
        axes.remove()
    for axes, name in zip(grid.flat, names, strict=False):
        found = curves[curves["variant"] == name]
        for (backbone, _), line in found.groupby(["backbone", "run_id"], sort=False):
            dashes = LINE_STYLES[backbones.index(backbone) % len(LINE_STYLES)]
            axes.plot(
                line["epoch"],
                line[value],
                linestyle=dashes,
                marker="." if len(line) == 1 else "",  # a line through one point would be invisible
                color=method_style(name).colour,
                linewidth=1.1,
                alpha=0.8,
            )
        axes.set_title(method_style(name).label)
        count = found["run_id"].nunique()
        axes.set_xlabel(f"epoch (n = {count} run{'s' if count > 1 else ''})")
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.grid(axis="y")
    for axes in grid[:, 0]:
        axes.set_ylabel(label)
    if len(backbones) > 1:
        handles = [Line2D([], [], color="black", linewidth=1.1, linestyle=dashes) for dashes in LINE_STYLES]
        labels = [backbone_label(name) for name in backbones]
        figure.legend(handles[: len(labels)], labels, loc="outside upper left", ncols=len(labels))
    return figure

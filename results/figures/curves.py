"""How did pretraining go: the training loss of every run, over epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from results.errors import InputError
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

TITLE = "Pretraining loss"
CAPTION = (
    "One line per run. Every method minimises a loss of its own, so the heights compare within a panel, never "
    "between panels."
)
LINE_STYLES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """Columns run_id, variant, backbone, seed, epoch, loss.

    A run that was interrupted repeats the epochs since its last checkpoint; the later line of an epoch counts.

    Raises
    ------
    InputError
        No pretraining has reported a loss yet.
    """
    import pandas as pd

    pretrainings = frame[frame["stage"] == "pretrain"].to_dict("records")
    described = {row["run_id"]: {str(key): value for key, value in row.items()} for row in pretrainings}
    rows = []
    for run in runs:
        if run.run_id not in described:
            continue
        facts = described[run.run_id]
        losses = {
            float(line["epoch"]): float(line["loss"])
            for line in RunDirectory(run.directory).read_progress()
            if isinstance(line.get("epoch"), int | float) and isinstance(line.get("loss"), int | float)
        }
        for epoch in sorted(losses):
            rows.append(
                {
                    "run_id": run.run_id,
                    "variant": variant(facts),
                    "backbone": facts["backbone"],
                    "seed": facts["seed"],
                    "epoch": epoch,
                    "loss": losses[epoch],
                }
            )
    if not rows:
        raise InputError("no pretraining has reported a loss yet")
    rows.sort(
        key=lambda r: (method_order(r["variant"]), backbone_order(r["backbone"]), r["seed"], r["run_id"], r["epoch"])
    )
    return pd.DataFrame(rows)


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """One panel per method; line styles tell backbones apart."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    curves = data(runs, frame)
    names = list(curves["variant"].unique())
    backbones = sorted(curves["backbone"].unique(), key=backbone_order)
    rows, columns = panel_grid(len(names))
    figure = Figure(figsize=(0.5 + 2.2 * columns, 2.1 * rows + 0.5))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.remove()
    for axes, name in zip(grid.flat, names, strict=False):
        found = curves[curves["variant"] == name]
        for (backbone, _), line in found.groupby(["backbone", "run_id"], sort=False):
            dashes = LINE_STYLES[backbones.index(backbone) % len(LINE_STYLES)]
            axes.plot(
                line["epoch"], line["loss"], linestyle=dashes, color=method_style(name).colour, linewidth=1.1, alpha=0.8
            )
        axes.set_title(method_style(name).label)
        axes.set_xlabel(f"epoch (n = {found['run_id'].nunique()} runs)")
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.grid(axis="y")
    for axes in grid[:, 0]:
        axes.set_ylabel("training loss")
    if len(backbones) > 1:
        handles = [Line2D([], [], color="black", linewidth=1.1, linestyle=dashes) for dashes in LINE_STYLES]
        labels = [backbone_label(name) for name in backbones]
        figure.legend(handles[: len(labels)], labels, loc="outside upper left", ncols=len(labels))
    return figure

"""Draws cosine similarities of image pairs to check the paper's Corollary 1.

The corollary expects two views of an image to be closer than two images of a class, and these to be closer than two
images of different classes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from results.errors import InputError
from results.figures._points import name_pretraining_data
from results.figures._style import INK, MUTED, backbone_label, backbone_order, method_order, method_style
from results.frame import records
from results.reference import load_methods
from results.store import Run
from results.variants import variant

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Similarity of pairs in each space"
CAPTION = (
    "Distribution of cosine similarity over validation images, all seeds together, of each method's longest "
    "pretraining: two views of one image, two images of one class, two of different classes; upright lines: means. "
    "Corollary 1 of the paper expects them in this order from right to left. A method has only the spaces it trains. "
    "The panels of a space share their horizontal axis: even in the angle, labelled with its cosine, and up to 1. "
    "Heights compare within a panel."
)
ARTIFACT = "artifacts/similarity.json"
SPACES = ("backbone", "instance", "class")
BINS = 40
_GROUP = ["backbone", "variant", "dataset", "pretraining_data"]
_TICKS = (-0.5, 0, 0.5, 0.8, 0.95, 1)
_KINDS: dict[str, tuple[str, str, Literal["-", "--", ":"]]] = {
    "view": ("two views of an image", "#0072B2", "-"),
    "same_class": ("same class", "#D55E00", "--"),
    "different_class": ("different classes", "#6b6b6b", ":"),
}


def data(runs: Sequence[Run], frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per bin: the columns of ``_GROUP``, space, kind, low, high, count, share, mean, n.

    ``n`` is the number of seeds; ``pretraining_data`` is empty unless the runs were pretrained on several sets of one
    dataset's name.

    Raises
    ------
    InputError
        No finished ``similarity`` evaluation, or none whose histograms can be read.
    """
    import pandas as pd

    rows = []
    for key, found in sorted(_histograms(runs, frame).items(), key=_order):
        first = found[0]
        for space in (name for name in SPACES if name in first["counts"]):
            for kind in _KINDS:
                counts = [sum(values) for values in zip(*(f["counts"][space][kind] for f in found), strict=True)]
                means = [f["metrics"][f"{space}_{kind}_cosine"] for f in found]
                for low, high, count in zip(first["edges"], first["edges"][1:], counts, strict=False):
                    row: dict[str, Any] = {**dict(zip(_GROUP, key, strict=True)), "space": space, "kind": kind}
                    row |= {"low": low, "high": high, "count": count, "share": count / sum(counts)}
                    rows.append({**row, "mean": sum(means) / len(means), "n": len(found)})
    return pd.DataFrame(rows)


def draw(runs: Sequence[Run], frame: pd.DataFrame) -> Figure:
    """Draw a row of panels per network and method, a column per space."""
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    bins = data(runs, frame)
    groups = bins.groupby(_GROUP, sort=False)
    spaces = [space for space in SPACES if space in set(bins["space"])]
    figure = Figure(figsize=(2.5 * len(spaces) + 0.6, 1.35 * len(groups) + 0.8))
    grid = figure.subplots(len(groups), len(spaces), squeeze=False, sharex="col")
    for line, (key, of_row) in zip(grid, groups, strict=True):
        backbone, method, _, pretraining_data = map(str, key)
        for axes, space in zip(line, spaces, strict=True):
            found = of_row[of_row["space"] == space]
            _draw_panel(axes, found)
        n = of_row["n"].iloc[0]
        data_line = f"\ndata {pretraining_data}" if pretraining_data else ""
        line[0].set_ylabel(f"{method_style(method).label}\n{backbone_label(backbone)} (n = {n}){data_line}", color=INK)
    for axes, space in zip(grid[0], spaces, strict=True):
        axes.set_title(f"{space.capitalize()} space")
        of_space = bins[bins["space"] == space].groupby(_GROUP)
        axes.set_xscale("function", functions=(_minus_angle, np.cos))
        axes.set_xticks(_TICKS, [f"{cosine:g}".replace("-", "−") for cosine in _TICKS])
        axes.set_xlim(min(_left(found) for _, found in of_space), 1)
    for axes in grid[-1]:
        axes.set_xlabel("cosine similarity")
    handles = [Line2D([], [], color=c, linestyle=dashes, label=name) for name, c, dashes in _KINDS.values()]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure


def _draw_panel(axes: Axes, bins: pd.DataFrame) -> None:
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if bins.empty:
        axes.tick_params(axis="x", length=0, labelbottom=False)
        axes.text(0.5, 0.4, "no such space", transform=axes.transAxes, ha="center", color=MUTED, fontsize=8)
        return
    axes.tick_params(axis="x", labelbottom=True)
    left = _left(bins)
    for kind, (_, colour, dashes) in _KINDS.items():
        found = bins[(bins["kind"] == kind) & (bins["high"] > left)]
        density, edges = _coarser(found)
        axes.stairs(density, edges, color=colour, linestyle=dashes, linewidth=1.2)
        axes.axvline(found["mean"].iloc[0], color=colour, linestyle=dashes, linewidth=0.8, alpha=0.6)
    axes.set_ylim(bottom=0)


def _left(bins: pd.DataFrame) -> float:
    """Return the left end of a panel's distributions, without the lowest 0.1 % of each."""
    below = bins.groupby("kind")["share"].cumsum()
    return float(bins[below > 0.001]["low"].min())


def _coarser(bins: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Merge bins to about ``BINS``; return their densities over the angle, and their edges."""
    together = max(1, len(bins) // BINS)
    lows, highs, shares = (bins[name].tolist() for name in ("low", "high", "share"))
    starts = range(0, len(bins), together)
    edges = [*(lows[start] for start in starts), highs[-1]]
    sums = [sum(shares[start : start + together]) for start in starts]
    angles = [math.acos(max(-1.0, min(edge, 1.0))) for edge in edges]
    return [s / (wide - narrow) for s, wide, narrow in zip(sums, angles, angles[1:], strict=False)], edges


def _minus_angle(cosine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return minus the angle in radians: as axis scale, it spreads cosines near 1, where some spaces have all pairs."""
    import numpy as np

    return -np.arccos(np.clip(cosine, -1, 1))


def _histograms(runs: Sequence[Run], frame: pd.DataFrame) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Return values of ``_GROUP`` → one histogram per seed, of the longest pretraining with the largest batch.

    Raises
    ------
    InputError
        No histogram exists or can be read.
    """
    facts = frame[(frame["stage"] == "similarity") & (frame["state"] == "done")].drop_duplicates("run_id")
    described = {row["run_id"]: row for row in records(facts)}
    name_pretraining_data([*described.values()])
    shown = load_methods().compared["similarity"]
    groups: dict[tuple[str, ...], dict[tuple[Any, ...], dict[int, dict[str, Any]]]] = {}
    unread: list[str] = []
    for run in sorted(runs, key=lambda run: run.run_id):
        row = described.get(run.run_id)
        if row is None or run.record is None or row["ablated"] != "none" or variant(row) not in shown:
            continue
        try:
            content = (run.directory / ARTIFACT).read_bytes()
            recorded = run.record.artifacts.get(Path(ARTIFACT).name)
            if recorded is not None and hashlib.sha256(content).hexdigest() != recorded:
                raise ValueError("not the file whose checksum the record has")
            histogram = json.loads(content)
        except (OSError, ValueError, RecursionError):
            unread.append(run.run_id)
            continue  # the record is still valid; only this figure omits the run
        size = (row["pretrain_epochs"] or 0, row["global_batch_size"] or 0, row["setting"], row["fingerprint"])
        key = (row["backbone"], variant(row), row["dataset"], row["pretraining_data"] or "")
        seeds = groups.setdefault(key, {}).setdefault(size, {})
        seeds.setdefault(row["seed"], {**histogram, "metrics": run.record.metrics})
    if unread and not groups:
        raise InputError(f"{ARTIFACT} of {', '.join(unread)} is missing or unreadable; evaluate again to have it")
    if not groups:
        raise InputError("no finished similarity evaluation; add 'similarity' to the sweep's evaluations")
    return {key: list(sizes[max(sizes)].values()) for key, sizes in groups.items()}


def _order(item: tuple[tuple[str, ...], Any]) -> tuple[Any, ...]:
    backbone, method, dataset, pretraining_data = item[0]
    return (backbone_order(backbone), dataset, method_order(method), pretraining_data)

"""Converts finished evaluations to points and assigns each to a panel and a row of a figure.

Like tables, figures average only equal runs: numbers in one row of a panel differ only in the seed, and in one panel,
all numbers of a backbone have equal protocol recipe, epochs and data fingerprint.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from results.errors import InputError
from results.figures._style import (
    backbone_order,
    method_order,
    method_style,
    protocol_label,
    protocol_order,
)
from results.titles import dataset_title
from results.variants import evaluations, variant

if TYPE_CHECKING:
    import pandas as pd

_SETTINGS = {
    "pretrain_dataset": "on {}",
    "pretrain_epochs": "{:g} epochs",
    "global_batch_size": "batch {:g}",
    "mlp_layers": "{:g} MLP layers",
    "embedding_dimension": "embedding {:g}",
    "hidden_dimension": "hidden {:g}",
    "pretrain_recipe": "{}",
}
_CONDITIONS = {"finetune_epochs": "{} epochs", "protocol_recipe": "{}", "fingerprint": "data {}"}
_SHOWN = {"finetune_epochs": None, "protocol_recipe": None, "fingerprint": 6}
_ABLATED_ELSEWHERE = ("mlp_layers", "embedding_dimension", "hidden_dimension")
COLUMNS = (
    "panel",
    "row",
    "place",
    "backbone",
    "variant",
    *_SETTINGS,
    "protocol",
    "dataset",
    "metric",
    "declaration",
    *_CONDITIONS,
    "protocol_changes",
    "schedule",
    "seed",
    "run_id",
    "setting",
    "value",
)


def evaluation_points(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per finished headline number, in drawing order, with the columns ``COLUMNS``.

    Raises
    ------
    InputError
        No evaluation is finished, or runs of one row differ in a setting that the figure can't show.
    """
    import pandas as pd

    found = {
        (row["run_id"], row["metric"]): row
        for row in evaluations(frame)
        if row["value"] is not None and row["declaration"].headline
    }
    rows = [{**row, "variant": variant(row)} for row in found.values()]
    if not rows:
        raise InputError("no finished evaluation to draw; run the sweep first")
    _label_rows(rows)
    _label_panels(rows)
    for place, row in enumerate(sorted(rows, key=_row_order)):
        row["place"] = place
    rows.sort(key=_drawing_order)
    points = pd.DataFrame(rows)[list(COLUMNS)]
    settings = points.groupby(["backbone", "row", "panel"])["setting"].transform("nunique")
    if (settings > 1).any():
        alike = points[settings > 1].drop_duplicates("setting")["run_id"].head(2)
        raise InputError(f"runs {' and '.join(alike)} differ in a setting that no column of the frame shows")
    return points


def without_ablations(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` without the ablations that other figures show; if it holds only such runs, the whole ``frame``."""
    ablated = (
        frame["ablated"].fillna("").str.split(", ").map(lambda names: not set(names).isdisjoint(_ABLATED_ELSEWHERE))
    )
    return frame if ablated.all() else frame[~ablated]


def rows_in_order(points: pd.DataFrame) -> pd.DataFrame:
    """The distinct rows of ``points``, columns backbone, row and variant, in drawing order."""
    rows = points.sort_values("place").drop_duplicates(["backbone", "row"])
    return rows[["backbone", "row", "variant"]]


def numbers(points: pd.DataFrame) -> pd.DataFrame:
    """``points`` as the numbers beside a figure: each panel's name in one line, and the unit of each metric."""
    units = points["declaration"].map(lambda metric: metric.unit)
    told = points.assign(panel=points["panel"].str.replace("\n", ", "), declaration=units)
    return told.rename(columns={"declaration": "unit"})


def seed_count(points: pd.DataFrame) -> str:
    """The number of seeds, such as ``n = 3 seeds``, or a range if rows have different numbers."""
    counts = points.groupby(["backbone", "row", "panel"])["seed"].nunique()
    return f"{n_of(counts)} seed{'s' if counts.max() > 1 else ''}"


def n_of(counts: Iterable[int]) -> str:
    """The counts as text: ``n = 3``, or ``n = 1–3`` if they differ."""
    found = list(counts)
    low, high = min(found), max(found)
    return f"n = {low}" if low == high else f"n = {low}–{high}"


def _label_rows(rows: list[dict[str, Any]]) -> None:
    """Set each row's name: its method and the settings that distinguish it from the method's other rows."""
    families: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault((row["backbone"], row["variant"]), []).append(row)
    for family in families.values():
        telling: list[str] = []
        for field in _SETTINGS:
            groups = {(tuple(row[f] for f in telling), row[field]) for row in family}
            if len(groups) > len({group[0] for group in groups}):
                telling.append(field)
        for row in family:
            details = [_SETTINGS[field].format(row[field]) for field in telling if row[field] is not None]
            row["row"] = ", ".join([method_style(row["variant"]).label, *details])


def _label_panels(rows: list[dict[str, Any]]) -> None:
    """Set each panel's name: protocol, dataset, schedule, and the conditions in which one backbone's runs differ."""
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(tuple(row[f] for f in ("protocol", "dataset", "schedule", "metric")), []).append(row)
    for found in kinds.values():
        telling = [
            field
            for field in _CONDITIONS
            # Backbones have different recipes anyway, so only different values within one backbone count.
            if any(count > 1 for count in _distinct(found, field).values())
        ]
        for row in found:
            schedule = "" if row["schedule"] is None else f", {row['schedule']}"
            title = f"{protocol_label(row['protocol'])}, {dataset_title(row['dataset'])}{schedule}"
            told = [_CONDITIONS[f].format(str(row[f])[: _SHOWN[f]]) for f in telling if row[f] is not None]
            row["panel"] = "\n".join([title, *([", ".join(told)] if told else []), row["declaration"].label_with_unit])


def _distinct(rows: list[dict[str, Any]], field: str) -> dict[str, int]:
    """Backbone → number of different values of ``field`` in its rows."""
    found: dict[str, set[Any]] = {}
    for row in rows:
        found.setdefault(row["backbone"], set()).add(row[field])
    return {backbone: len(values) for backbone, values in found.items()}


def _drawing_order(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        protocol_order(row["protocol"]),
        row["dataset"],
        row["metric"],
        row["panel"],
        _row_order(row),
        row["seed"],
    )


def _row_order(row: dict[str, Any]) -> tuple[Any, ...]:
    settings = tuple((row[f] is not None, 0 if row[f] is None else row[f]) for f in _SETTINGS)
    return (backbone_order(row["backbone"]), method_order(row["variant"]), settings)

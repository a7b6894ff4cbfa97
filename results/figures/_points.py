"""Converts finished evaluations to points and assigns each to a panel and a row of a figure.

Like tables, figures average only equal runs: numbers in one row of a panel differ only in the seed, and in one panel,
all numbers of a backbone have equal protocol recipe, epochs and data fingerprint. If a figure has pretrainings on
several sets of one dataset's name, such as a part of ImageNet and the whole, each row's name says on which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from results.columns import Role, declared, describe_differences, label, sort_key, undeclared
from results.errors import InputError
from results.figures._style import (
    backbone_order,
    method_order,
    method_style,
    protocol_label,
    protocol_order,
)
from results.frame import records
from results.reference import load_methods
from results.titles import dataset_title
from results.variants import evaluations, variant

if TYPE_CHECKING:
    import pandas as pd


def evaluation_points(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per finished headline number, in drawing order: the run's columns, panel, row, place, variant.

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
    columns = [str(name) for name in frame.columns]
    settings = (*declared(Role.SCALE)[1:], *undeclared(columns, Role.METHOD), "pretrain_recipe")
    name_pretraining_data(rows)
    settings = (*settings, "pretraining_data")
    _label_rows(rows, settings)
    _label_panels(rows, ("finetune_epochs", *undeclared(columns, Role.EVALUATION), "protocol_recipe", "fingerprint"))
    orders = [_row_order(row, settings) for row in rows]
    places = {order: index for index, order in enumerate(sorted(set(orders)))}
    for row, order in zip(rows, orders, strict=True):
        row["place"] = places[order]
    rows.sort(key=_drawing_order)
    points = pd.DataFrame(rows)
    require_one_setting(points, ["backbone", "row", "panel"])
    first = ["panel", "row", "place", "backbone", "variant"]
    return points[[*first, *(name for name in points if name not in first)]]


def name_pretraining_data(rows: Sequence[dict[str, Any]]) -> None:
    """Set ``pretraining_data``: the fingerprint if the rows have several of one dataset, else None."""
    known: dict[Any, set[str]] = {}
    for row in rows:
        if row["pretrain_fingerprint"] is not None:
            known.setdefault(row["pretrain_dataset"], set()).add(row["pretrain_fingerprint"])
    for row in rows:
        fingerprint = row["pretrain_fingerprint"]
        is_ambiguous = len(known.get(row["pretrain_dataset"], ())) > 1
        row["pretraining_data"] = fingerprint[:12] if fingerprint and is_ambiguous else None


def require_one_setting(points: pd.DataFrame, fields: Sequence[str]) -> None:
    """Raise ``InputError`` if points that agree in ``fields``, and so would be averaged, differ in a setting."""
    settings = points.groupby(list(fields), dropna=False)["setting"].transform("nunique")
    if (settings > 1).any():
        groups = points[settings > 1].groupby(list(fields), dropna=False, sort=False)
        runs = records(next(iter(groups))[1].drop_duplicates("setting").head(2))
        names = " and ".join(run["run_id"] for run in runs)
        raise InputError(f"runs {names} would be averaged, but differ: {describe_differences(runs)}")


def without_ablations(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` without ablations of options that make no variant; unchanged if it holds nothing else."""
    named = {option for look in load_methods().variants.values() for option in look.main}
    ablated = frame["ablated"].fillna("none").map(lambda names: not {*names.split(", ")} <= {*named, "none"})
    return frame if ablated.all() else frame[~ablated]


def rows_in_order(points: pd.DataFrame) -> pd.DataFrame:
    """Return the distinct rows of ``points``, columns backbone, row and variant, in drawing order."""
    rows = points.sort_values("place").drop_duplicates(["backbone", "row"])
    return rows[["backbone", "row", "variant"]]


def numbers(points: pd.DataFrame) -> pd.DataFrame:
    """Return ``points`` as the numbers beside a figure: each panel's name in one line, and each metric's unit."""
    units = points["declaration"].map(lambda metric: metric.unit)
    shown = points.assign(panel=points["panel"].str.replace("\n", ", "), declaration=units)
    return shown.rename(columns={"declaration": "unit"})


def seed_count(points: pd.DataFrame) -> str:
    """Return the number of seeds, such as ``n = 3 seeds``, or a range if rows have different numbers."""
    counts = points.groupby(["backbone", "row", "panel"])["seed"].nunique()
    return f"{n_of(counts)} seed{'s' if counts.max() > 1 else ''}"


def n_of(counts: Iterable[int]) -> str:
    """Return the counts as text: ``n = 3``, or ``n = 1–3`` if they differ."""
    found = list(counts)
    low, high = min(found), max(found)
    return f"n = {low}" if low == high else f"n = {low}–{high}"


def _label_rows(rows: list[dict[str, Any]], settings: Sequence[str]) -> None:
    """Set each row's name: its method and the settings that distinguish it from the method's other rows."""
    families: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault((row["backbone"], row["variant"]), []).append(row)
    for family in families.values():
        varied = _varied(family, settings)
        varied = [*(name for name in varied if name != "pretraining_data"), "pretraining_data"]
        for row in family:
            details = [label(field, row[field]) for field in varied if row[field] is not None]
            row["row"] = ", ".join([method_style(row["variant"]).label, *details])


def _label_panels(rows: list[dict[str, Any]], conditions: Sequence[str]) -> None:
    """Set each panel's name: protocol, dataset, schedule, and the conditions in which one backbone's runs differ."""
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(tuple(row[f] for f in ("protocol", "dataset", "schedule", "metric")), []).append(row)
    for found in kinds.values():
        varied = _varied(found, conditions, within="backbone")  # backbones have different recipes anyway
        for row in found:
            schedule = "" if row["schedule"] is None else f", {row['schedule']}"
            title = f"{protocol_label(row['protocol'])}, {dataset_title(row['dataset'])}{schedule}"
            details = [label(field, row[field]) for field in varied if row[field] is not None]
            lines = [title, ", ".join(details)] if details else [title]
            row["panel"] = "\n".join([*lines, row["declaration"].label_with_unit])


def _varied(rows: list[dict[str, Any]], fields: Sequence[str], within: str | None = None) -> list[str]:
    """Return the fields that distinguish rows with equal ``within``, each only if those before it don't."""
    varied: list[str] = [] if within is None else [within]
    for field in fields:
        groups = {(tuple(row[name] for name in varied), row[field]) for row in rows}
        if len(groups) > len({group[0] for group in groups}):
            varied.append(field)
    return [field for field in varied if field != within]


def _drawing_order(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        protocol_order(row["protocol"]),
        row["dataset"],
        row["metric"],
        row["panel"],
        row["place"],
        row["seed"],
    )


def _row_order(row: dict[str, Any], settings: Sequence[str]) -> tuple[Any, ...]:
    values = sort_key(row[field] for field in settings)
    return (backbone_order(row["backbone"]), method_order(row["variant"]), values)

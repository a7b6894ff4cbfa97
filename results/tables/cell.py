"""Fills one table cell from its query and the runs that match it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from results.columns import COLUMNS, Row, describe_differences
from results.declarations import Query
from results.metrics import Metric
from results.reference import published_metric, published_number
from results.statistics import mean, standard_error
from results.tables.layout import Slot
from results.tables.model import Cell, Data
from results.tables.rows import NONE, RunRows

_STATE_PRIORITY = ("running", "waiting", "planned", "damaged", "unknown", "failed", "cancelled")


def fill(slot: Slot, rows: RunRows) -> Cell:
    """Fill ``slot`` with the rows that match its query, and return the cell."""
    if slot.query is None:
        return Cell("cited", published=slot.published)
    runs = rows.matching(slot.query)
    asked = slot.query.get("metric")
    wanted = asked if isinstance(asked, list) else [asked]
    recorded = [row for row in runs if row["state"] == "done" and row["metric"] in wanted]
    done = [row for row in recorded if row["value"] is not None]
    undefined = [row for row in recorded if row["value"] is None]
    unfinished = [row for row in runs if row["state"] != "done"]
    if not done and undefined:
        return Cell(
            "not defined",
            published=slot.published,
            seeds=len({row["seed"] for row in undefined}),
            reason=_describe_undefined(undefined),
        )
    if not done:
        return _without_number(slot, rows, runs, unfinished)
    different = describe_differences(done)
    if different:
        n = len({row["run_id"] for row in done})
        return Cell("mixed", published=slot.published, seeds=n, reason=f"{n} runs differ: {different}")
    repetitions = [row for row in unfinished if row["setting"] == done[0]["setting"]]
    undefined = [row for row in undefined if row["setting"] == done[0]["setting"]]
    return _with_number(slot, done, repetitions, undefined)


def _with_number(
    slot: Slot,
    done: Sequence[Row],
    unfinished: Sequence[Row],
    undefined: Sequence[Row],
) -> Cell:
    descriptions = (row[name] for row in done for name in ("pretrain_data_differs", "data_differs"))
    other_data = tuple(dict.fromkeys(text for text in descriptions if text))
    by_seed: dict[Any, Row] = {}
    for row in done:
        by_seed.setdefault(row["seed"], row)
    pending = [row for row in _one_per_run(unfinished) if row["seed"] not in by_seed]
    undefined = [row for row in undefined if row["seed"] not in by_seed]
    reasons = [_tally(pending)] if pending else []
    reasons += [_describe_undefined(undefined)] if undefined else []
    unknown = [row["run_id"] for row in by_seed.values() if row["pretrain_fingerprint"] is None]
    if 0 < len(unknown) < len(by_seed):
        reasons.append(f"the data pretrained on is unknown for {', '.join(sorted(unknown))}")
    values = [float(row["value"]) for row in by_seed.values()]
    centre = mean(values)
    published = None if slot.published is None else published_number(slot.published)
    difference = None if published is None or other_data else centre - published
    any_row = done[0]
    declaration: Metric = any_row["declaration"]
    recipes = (("pretraining", any_row["pretrain_recipe"]), (any_row["protocol"], any_row["protocol_recipe"]))
    return Cell(
        state="done",
        mean=centre,
        standard_error=standard_error(values),
        n=len(values),
        seeds=len(values) + len({row["seed"] for row in (*pending, *undefined)}),
        published=slot.published,
        difference=difference,
        metric=any_row["metric"],
        declaration=declaration,
        reason="; ".join(reasons) or None,
        recipes=tuple(f"{what} {recipe}" for what, recipe in recipes if recipe),
        decimals=declaration.decimals,
        run_ids=tuple(row["run_id"] for _, row in sorted(by_seed.items(), key=lambda item: (item[0] is None, item[0]))),
        other_data=other_data,
        data=_data(list(by_seed.values())),
        agreement=_agreement(difference, _tolerance(any_row["metric"], declaration)),
    )


def _data(done: Sequence[Row]) -> Data:
    """Return the data of runs that agree in it; a pretraining is evaluated on the data that it was trained on."""
    columns = ("fingerprint" if row["stage"] == "pretrain" else "pretrain_fingerprint" for row in done)
    fingerprints = (row[column] for row, column in zip(done, columns, strict=True))
    known = next((fingerprint for fingerprint in fingerprints if fingerprint is not None), None)
    return Data(done[0]["dataset"], done[0]["fingerprint"], done[0]["pretrain_dataset"], known)


def _tolerance(name: str, declaration: Metric) -> float | None:
    """Return the tolerance that the evaluator declares, or else that of the published metric."""
    published = published_metric(name)
    return declaration.tolerance if published is None or declaration.tolerance is not None else published.tolerance


def _agreement(difference: float | None, tolerance: float | None) -> str | None:
    """Return ``within``, ``above`` or ``below`` the tolerance around the published number; 1e-9 allows for rounding."""
    if difference is None or tolerance is None:
        return None
    if abs(difference) <= tolerance + 1e-9:
        return "within"
    return "above" if difference > 0 else "below"


def _without_number(slot: Slot, rows: RunRows, runs: Sequence[Row], unfinished: Sequence[Row]) -> Cell:
    if not runs:
        state = "cited" if slot.is_cited else "not planned"
        return Cell(state, published=slot.published, reason=_missing_option(slot.query or {}, rows))
    if not unfinished:
        asked = (slot.query or {}).get("metric")
        names = " or ".join(map(str, asked)) if isinstance(asked, list) else str(asked)
        run_ids = sorted({row["run_id"] for row in runs})
        return Cell("missing", published=slot.published, reason=f"{run_ids[0]} recorded no {names}")
    unfinished = _one_per_run(unfinished)
    states = {row["state"] for row in unfinished}
    state = next(state for state in _STATE_PRIORITY if state in states)
    first_reason = next((row["reason"] for row in unfinished if row["reason"]), None)
    return Cell(
        state,
        seeds=len({row["seed"] for row in unfinished}),
        published=slot.published,
        reason=first_reason if len(states) == 1 else _tally(unfinished),
    )


def _missing_option(query: Query, rows: RunRows) -> str | None:
    """Return a sentence if no run that matches the query's other conditions has its option, perhaps misspelt."""
    options = [name for name, value in query.items() if name not in COLUMNS and value != NONE]
    similar = rows.matching({name: value for name, value in query.items() if name in COLUMNS}) if options else []
    known = {name for row in similar for name, value in row.items() if value is not None} - {*COLUMNS}
    missing = [name for name in options if name not in known]
    if not similar or not missing:
        return None
    return f"the runs have no column {missing[0]!r}; they have {', '.join(sorted(known)) or 'no options'}"


def _describe_undefined(rows: Sequence[Row]) -> str:
    """Return a sentence such as ``mIoU is not defined on the data of 2 runs, segmentation-… the first``."""
    run_ids = sorted({row["run_id"] for row in rows})
    which = run_ids[0] if len(run_ids) == 1 else f"{len(run_ids)} runs, {run_ids[0]} the first"
    return f"{rows[0]['metric']} is not defined on the data of {which}"


def _one_per_run(rows: Sequence[Row]) -> list[Row]:
    return list({row["run_id"]: row for row in rows}.values())


def _tally(rows: Sequence[Row]) -> str:
    """Return run counts by state with a first reason each, such as ``2 running, 1 failed (loss is nan)``."""
    counts = Counter(row["state"] for row in rows)
    reasons = {row["state"]: row["reason"] for row in reversed(rows) if row["reason"]}
    return ", ".join(
        f"{counts[state]} {state}" + (f" ({reasons[state]})" if state in reasons else "")
        for state in _STATE_PRIORITY
        if state in counts
    )

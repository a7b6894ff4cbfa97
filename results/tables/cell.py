"""From a query and the runs that answer it to one cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from results.declarations import Query
from results.metrics import metric as metric_called
from results.reference import published_number
from results.statistics import mean, standard_error
from results.tables.layout import Slot
from results.tables.model import Cell

if TYPE_CHECKING:
    import pandas as pd

RunRow = Mapping[str, Any]

MUST_AGREE = (
    "method",
    "preset",
    "arrangement",
    "mlp_layers",
    "embedding_dimension",
    "hidden_dimension",
    "backbone",
    "global_batch_size",
    "pretrain_epochs",
    "pretrain_dataset",
    "pretrain_recipe",
    "protocol",
    "dataset",
    "finetune_epochs",
    "schedule",
    "protocol_recipe",
    "metric",
    "fingerprint",
    "setting",
)
"""Frame columns in which the runs of one cell may not differ; ``setting`` covers what has no column of its own."""

_MOST_ALIVE_FIRST = ("running", "waiting", "planned", "unknown", "failed", "cancelled")


def frame_rows(frame: pd.DataFrame) -> list[RunRow]:
    """The frame as dictionaries with None for every missing value, in an order of their own."""
    plain = frame.astype(object).where(frame.notna(), None)
    names = [str(name) for name in plain.columns]
    values = zip(*(plain[name].tolist() for name in names), strict=True)
    rows: list[RunRow] = [dict(zip(names, row, strict=True)) for row in values]
    return sorted(rows, key=lambda row: (row["run_id"], row["metric"] or ""))


def fill(slot: Slot, rows: Sequence[RunRow]) -> Cell:
    """The cell that ``rows`` (of ``frame_rows``) make of ``slot``."""
    if slot.query is None:
        return Cell("cited", published=slot.published)
    runs = [row for row in rows if _answers(row, slot.query, leaving_out="metric")]
    done = [row for row in runs if row["state"] == "done" and _answers(row, slot.query)]
    unfinished = [row for row in runs if row["state"] != "done"]
    if not done:
        return _without_number(slot, runs, unfinished)
    different = _differences(done)
    if different:
        n = len({row["run_id"] for row in done})
        return Cell("mixed", published=slot.published, seeds=n, reason=f"{n} runs differ: {different}")
    return _with_number(slot, done, [row for row in unfinished if row["setting"] == done[0]["setting"]])


def _answers(row: RunRow, query: Query, leaving_out: str | None = None) -> bool:
    return all(
        row[name] in value if isinstance(value, list) else row[name] == value
        for name, value in query.items()
        if name != leaving_out
    )


def _differences(done: Sequence[RunRow]) -> str:
    """``pretrain_epochs 10, 20; …`` for every column that disagrees; empty when all do agree."""
    values = {name: {row[name] for row in done} for name in MUST_AGREE}
    differing = [name for name in MUST_AGREE if len(values[name]) > 1]
    if len(differing) > 1:  # the others say what the setting's hex digits only hint at
        differing = [name for name in differing if name != "setting"]
    return "; ".join(f"{name} {', '.join(sorted(_short(v) for v in values[name]))}" for name in differing)


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text


def _with_number(slot: Slot, done: Sequence[RunRow], unfinished: Sequence[RunRow]) -> Cell:
    by_seed: dict[Any, RunRow] = {}
    for row in done:
        by_seed.setdefault(row["seed"], row)
    pending = [row for row in _one_per_run(unfinished) if row["seed"] not in by_seed]
    values = [float(row["value"]) for row in by_seed.values()]
    centre = mean(values)
    published = None if slot.published is None else published_number(slot.published)
    any_row = done[0]
    recipes = (("pretraining", any_row["pretrain_recipe"]), (any_row["protocol"], any_row["protocol_recipe"]))
    return Cell(
        state="done",
        mean=centre,
        standard_error=standard_error(values),
        n=len(values),
        seeds=len(values) + len({row["seed"] for row in pending}),
        published=slot.published,
        difference=None if published is None else centre - published,
        metric=any_row["metric"],
        reason=_tally(pending) if pending else None,
        recipes=tuple(f"{what} {recipe}" for what, recipe in recipes if recipe),
        decimals=metric_called(any_row["metric"]).decimals,
    )


def _without_number(slot: Slot, runs: Sequence[RunRow], unfinished: Sequence[RunRow]) -> Cell:
    if not runs:
        return Cell("not planned", published=slot.published)
    if not unfinished:
        asked = (slot.query or {}).get("metric")
        names = " or ".join(map(str, asked)) if isinstance(asked, list) else str(asked)
        run_ids = sorted({row["run_id"] for row in runs})
        return Cell("missing", published=slot.published, reason=f"{run_ids[0]} recorded no {names}")
    unfinished = _one_per_run(unfinished)
    states = {row["state"] for row in unfinished}
    state = next(state for state in _MOST_ALIVE_FIRST if state in states)
    first_reason = next((row["reason"] for row in unfinished if row["reason"]), None)
    return Cell(
        state,
        seeds=len({row["seed"] for row in unfinished}),
        published=slot.published,
        reason=first_reason if len(states) == 1 else _tally(unfinished),
    )


def _one_per_run(rows: Sequence[RunRow]) -> list[RunRow]:
    return list({row["run_id"]: row for row in rows}.values())


def _tally(rows: Sequence[RunRow]) -> str:
    """``2 running, 1 failed (loss is nan)``: how many are in which state, with the first reason of each."""
    counts = Counter(row["state"] for row in rows)
    reasons = {row["state"]: row["reason"] for row in reversed(rows) if row["reason"]}
    return ", ".join(
        f"{counts[state]} {state}" + (f" ({reasons[state]})" if state in reasons else "")
        for state in _MOST_ALIVE_FIRST
        if state in counts
    )

"""Computes the roles of a published table: its queries without scale and data, which tiny runs can match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.declarations import PaperDeclaration, Query
from results.reference import PublishedTable, load_vocabulary
from results.tables.layout import combine, say
from results.tables.rows import NONE, RunRow, RunRows
from results.titles import BACKBONES, place

SCALE = ("backbone", "global_batch_size", "finetune_epochs", "pretrain_epochs")
"""Columns in which a tiny run differs from the paper's runs, in the order of row sorting."""
_ABLATED = ("arrangement", "mlp_layers", "embedding_dimension", "hidden_dimension")
BACKBONE_LABELS = {"Backbone": "{backbone}", "Backbone.": "{backbone}", "Pretraining Backbone": "{epochs} {backbone}"}


@dataclass(frozen=True)
class Kind:
    """A row of the published table without backbone, batch, epochs and dataset, so that a tiny run can match it.

    Parameters
    ----------
    words
        Label column → word, without the scale's label columns.
    queries
        One query per column, without scale and data.
    elsewhere
        Per column, whether the evaluation's dataset differs from the pretraining's.
    free
        Scale fields that none of the published queries sets.
    tuned
        Per column, whether the published query sets finetuning epochs.
    """

    words: Mapping[str, str]
    queries: tuple[Query, ...]
    elsewhere: tuple[bool, ...]
    free: frozenset[str]
    tuned: tuple[bool, ...]


def kinds_of(declaration: PaperDeclaration, published: PublishedTable, labels: Sequence[str]) -> list[Kind]:
    """The kinds of row of a published table, in its order, without cited methods."""
    kinds: dict[tuple[str, ...], Kind] = {}
    for printed in published.rows:
        words = dict(zip(labels, printed, strict=False))
        whole = _whole_queries(declaration, words)
        name = {label: word for label, word in words.items() if not scale_fields(label)}
        if whole is None or tuple(name.values()) in kinds:
            continue
        kinds[tuple(name.values())] = Kind(
            words=name,
            queries=tuple(_role(q, column) for q, column in zip(whole, declaration.columns.values(), strict=True)),
            elsewhere=tuple(query.get("dataset") != query.get("pretrain_dataset") for query in whole),
            free=frozenset(field for field in SCALE if not any(field in query for query in whole)),
            tuned=tuple("finetune_epochs" in query for query in whole),
        )
    return list(kinds.values())


def _whole_queries(declaration: PaperDeclaration, words: Mapping[str, str]) -> list[Query] | None:
    """One complete query per column for a published row; None for a cited method."""
    said = [say(declaration, label, word) for label, word in words.items()]
    if any(query is None for query in said):
        return None
    asked = [query for query in said if query is not None]
    return [combine(declaration.id, declaration.where, column, *asked) for column in declaration.columns.values()]


def _role(query: Query, column: Query) -> Query:
    """``query`` without scale, data and ablated options, except those options that ``column`` itself sets."""
    asked = [name for name in _ABLATED if name in column]
    dropped = {*SCALE, "dataset", "pretrain_dataset", *(name for name in _ABLATED if name not in asked)}
    role = {name: value for name, value in query.items() if name not in dropped}
    return {**role, "ablated": [NONE, *asked]} if any(name in query for name in _ABLATED) else role


def matching(rows: RunRows, kind: Kind, column: int, home: Any) -> list[RunRow]:
    """One row for each setting that matches the kind in a column and isn't pretrained on ``home``, the paper's data."""
    return [
        row
        for row in rows.unrepeated.answering(kind.queries[column], leaving_out="metric")
        if row["pretrain_dataset"] not in (home, None)
        and (row["dataset"] != row["pretrain_dataset"]) == kind.elsewhere[column]
    ]


def scale_fields(label: str) -> tuple[str, ...]:
    """The scale fields that a label column shows."""
    if label in BACKBONE_LABELS:
        return ("pretrain_epochs", "backbone") if "epochs" in BACKBONE_LABELS[label] else ("backbone",)
    numbers = load_vocabulary().numbers
    return (numbers[label],) if label in numbers else ()


def constants(declaration: PaperDeclaration, published: PublishedTable, labels: Sequence[str]) -> set[str]:
    """The scale fields with a single value in the published table, cited methods left out."""
    values: dict[str, set[Any]] = {field: set() for field in SCALE}
    for printed in published.rows:
        for query in _whole_queries(declaration, dict(zip(labels, printed, strict=False))) or ():
            for field in SCALE:
                if field in query:
                    values[field].add(query[field])
    return {field for field, found in values.items() if len(found) == 1}


def filling_most(
    fields: Sequence[str], kinds: Sequence[Kind], found: Mapping[tuple[int, int], list[RunRow]]
) -> dict[str, Any]:
    """The values of ``fields`` for which the most cells have runs; in a tie, the largest values."""
    filled: dict[tuple[Any, ...], set[tuple[int, int]]] = {}
    for where, rows in found.items():
        if kinds[where[0]].free.isdisjoint(fields):
            for row in rows:
                filled.setdefault(tuple(row[field] for field in fields), set()).add(where)
    if not fields or not filled:
        return {}

    def size(values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        named = zip(fields, values, strict=True)
        return [place(BACKBONES, value or "") if field == "backbone" else rank(value) for field, value in named]

    chosen = max(filled, key=lambda values: (len(filled[values]), size(values)))
    return dict(zip(fields, chosen, strict=True))


def rank(value: Any) -> tuple[Any, ...]:
    return (0,) if value is None else (1, value)

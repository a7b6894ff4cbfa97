"""Builds a published table in miniature: its columns and kinds of row, filled by runs on other data.

A tiny run differs from the paper's runs in backbone, data, batch and epochs, so it matches no cell of the published
table. It can match a cell's role: method, protocol, metric, and whether it is evaluated on its pretraining data. The
miniature has one row for each combination of values that matching runs have in the table's label columns. If a setting
is constant in the published table, the miniature keeps the one value of it that fills most cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.declarations import PaperDeclaration
from results.reference import Reference
from results.tables.layout import Layout, LayoutRow, Slot
from results.tables.roles import (
    BACKBONE_LABELS,
    SCALE,
    Kind,
    constants,
    filling_most,
    kinds_of,
    matching,
    rank,
    scale_fields,
)
from results.tables.rows import NONE, RunRow, RunRows
from results.titles import BACKBONES, DATASETS, dataset_title, place, title

DATA_LABEL = "Pretrained on"

Key = Mapping[str, Any]


@dataclass(frozen=True)
class _Column:
    """A column of the miniature, made from the published column with index ``place``.

    Its runs are evaluated on ``dataset``; None is the dataset of their pretraining.
    """

    name: str
    place: int
    dataset: str | None


def miniature(declaration: PaperDeclaration, reference: Reference, rows: RunRows) -> Layout | None:
    """The layout of a published table for runs on other data; None if no run matches a role of the table."""
    published = reference.tables[declaration.published]
    labels = tuple(name for name in published.columns if name not in declaration.columns)
    kinds = kinds_of(declaration, published, labels)
    found = {
        (kind, column): matching(rows, kinds[kind], column, declaration.where.get("pretrain_dataset"))
        for kind in range(len(kinds))
        for column in range(len(declaration.columns))
    }
    if not any(found.values()):
        return None
    told = {field for label in labels for field in scale_fields(label)}
    held = constants(declaration, published, labels)
    fixed = filling_most([field for field in SCALE if field in held and field != "finetune_epochs"], kinds, found)
    columns = _columns(tuple(declaration.columns), kinds, found)
    agreeing = {
        (kind, column): [row for row in those if _agrees(row, kinds[kind], fixed)]
        for (kind, column), those in found.items()
    }
    tuned = {place_: those for place_, those in agreeing.items() if kinds[place_[0]].tuned[place_[1]]}
    epochs = filling_most(["finetune_epochs"], kinds, tuned) if "finetune_epochs" in held else {}
    filled: list[tuple[tuple[Any, ...], LayoutRow]] = []
    for number, kind in enumerate(kinds):
        shown = [
            row
            for column, is_tuned in enumerate(kind.tuned)
            for row in agreeing[number, column]
            if not is_tuned or _agrees(row, kind, epochs)
        ]
        for key in _keys(shown, told - kind.free):
            slots = tuple(
                _slot(kind, column, {**fixed, **epochs} if kind.tuned[column.place] else fixed, key, found, number)
                for column in columns
            )
            words = (*(_word(label, kind, key) for label in labels), _data_word(kind, key))
            filled.append((_sort_key(number, kind, key), LayoutRow(words, slots)))
    filled.sort(key=lambda item: item[0])
    return Layout(
        id=declaration.id,
        title=f"{published.source} in miniature",
        caption=f"Small runs in the rows and columns of {published.source}. Neither its data nor its networks nor its "
        "schedules, so no number here stands beside one of the paper's.",
        source=None,
        labels=(*labels, DATA_LABEL),
        columns=tuple(column.name for column in columns),
        rows=tuple(row for _, row in filled),
        notes=tuple(_notes(kinds, found, {**fixed, **epochs}, columns)),
        baseline=declaration.baseline,
        ours=declaration.ours,
    )


def _columns(
    names: Sequence[str], kinds: Sequence[Kind], found: Mapping[tuple[int, int], list[RunRow]]
) -> list[_Column]:
    """The miniature's columns. A published column evaluated on other data becomes one column per dataset found."""
    columns: list[_Column] = []
    asked = [tuple(str(kind.queries[column]) for kind in kinds) for column in range(len(names))]
    for number, name in enumerate(names):
        if asked.index(asked[number]) < number:
            continue  # an earlier column differs only in its dataset and has covered this one
        if not all(kind.elsewhere[number] for kind in kinds):
            columns.append(_Column(name, number, None))
            continue
        datasets = {row["dataset"] for (_, column), rows in found.items() if column == number for row in rows}
        alone = asked.count(asked[number]) > 1
        if len(datasets) == 1 and not alone:  # _notes names the dataset
            columns.append(_Column(name, number, next(iter(datasets))))
            continue
        for dataset in sorted(datasets, key=lambda name: place(DATASETS, name)):
            shown = dataset_title(dataset)
            columns.append(_Column(shown if alone else f"{name} ({shown})", number, dataset))
        if not datasets:
            columns.append(_Column(name, number, NONE))
    return columns


def _agrees(row: RunRow, kind: Kind, fixed: Mapping[str, Any]) -> bool:
    return all(row[field] == value for field, value in fixed.items() if field not in kind.free)


def _keys(rows: Iterable[RunRow], told: Iterable[str]) -> list[dict[str, Any]]:
    fields = ("pretrain_dataset", *sorted(told))
    return [dict(zip(fields, values, strict=True)) for values in {tuple(row[f] for f in fields) for row in rows}]


def _slot(
    kind: Kind,
    column: _Column,
    fixed: Mapping[str, Any],
    key: Key,
    found: Mapping[tuple[int, int], list[RunRow]],
    number: int,
) -> Slot:
    query: dict[str, Any] = {**kind.queries[column.place], **key}
    query |= {field: NONE if value is None else value for field, value in fixed.items() if field not in kind.free}
    if column.dataset is not None:
        query["dataset"] = column.dataset
    elif kind.elsewhere[column.place]:
        query["dataset"] = sorted({row["dataset"] for row in found[number, column.place]})
    else:
        query["dataset"] = key["pretrain_dataset"]
    return Slot({field: NONE if value is None else value for field, value in query.items()}, None)


def _word(label: str, kind: Kind, key: Key) -> str:
    if label in BACKBONE_LABELS:
        shown = title(BACKBONES, str(key.get("backbone", "-")))
        return BACKBONE_LABELS[label].format(backbone=shown, epochs=key.get("pretrain_epochs", "-"))
    fields = scale_fields(label)
    if not fields:
        return kind.words[label]
    if kind.queries[0].get("stage") == "pretrain":  # no finetuning: the pretrained model's own classifier is evaluated
        fields = {"pretrain_epochs": (), "finetune_epochs": ("pretrain_epochs",)}.get(fields[0], fields)
    value = key.get(fields[0]) if fields else None
    return "-" if value is None else str(value)


def _data_word(kind: Kind, key: Key) -> str:
    """The pretraining dataset's title; ``-`` for random weights, whose dataset only sets size and normalisation."""
    return "-" if kind.queries[0].get("method") == "random_init" else dataset_title(key["pretrain_dataset"])


def _sort_key(number: int, kind: Kind, key: Key) -> tuple[Any, ...]:
    """Sort key: dataset, backbone, batch size, finetuning epochs, kind in published order, pretraining epochs."""
    backbone, batch, finetuning, pretraining = (key.get(field) for field in SCALE)
    return (
        place(DATASETS, key["pretrain_dataset"]),
        place(BACKBONES, backbone or ""),
        rank(batch),
        rank(finetuning),
        number,
        rank(pretraining),
    )


def _notes(
    kinds: Sequence[Kind],
    found: Mapping[tuple[int, int], list[RunRow]],
    held: Mapping[str, Any],
    columns: Sequence[_Column],
) -> Iterable[str]:
    told = [f"{name.replace('_', ' ')} {value}" for name, value in held.items() if value is not None]
    if told:
        yield f"Held fixed, as in the paper's table: {'; '.join(told)}."
    judged: dict[str, list[str]] = {}
    for column in columns:
        if column.dataset not in (None, NONE):
            judged.setdefault(dataset_title(str(column.dataset)), []).append(column.name)
    for dataset, names in judged.items():
        if names != [dataset]:
            yield f"Judged on {dataset}{'' if len(names) == len(columns) else ': ' + ', '.join(names)}."
    missing = [
        " ".join(kind.words.values())
        for number, kind in enumerate(kinds)
        if not any(rows for (k, _), rows in found.items() if k == number)
    ]
    if missing:
        yield f"No small run of: {', '.join(missing)}."

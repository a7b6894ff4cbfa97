"""A paper's table in miniature: its columns and its kinds of row, filled by runs on other data than the paper's.

A tiny run differs from the paper's in backbone, data, batch and epochs, so no cell of the paper asks for it. What it
shares is the role: method, protocol, metric, and whether it is judged on the data it was pretrained on. The rows are
therefore made from the runs themselves, one for each combination of what the table's label columns tell apart. What
the paper holds fixed without printing it is held fixed here too, at the values that most of its methods share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from results.declarations import PaperDeclaration, Query
from results.reference import PublishedTable, Reference, load_vocabulary
from results.tables.layout import Layout, LayoutRow, Slot, combine, say
from results.tables.rows import NONE, RunRow, RunRows
from results.titles import BACKBONES, DATASETS, place, title

DATA_LABEL = "Pretrained on"
_SCALE = ("backbone", "global_batch_size", "finetune_epochs", "pretrain_epochs")
"""What a tiny run is smaller in, in the order rows are sorted by."""
_ABLATED = ("arrangement", "mlp_layers", "embedding_dimension", "hidden_dimension")
_BACKBONE_LABELS = {"Backbone": "{backbone}", "Backbone.": "{backbone}", "Pretraining Backbone": "{epochs} {backbone}"}

Key = Mapping[str, Any]


@dataclass(frozen=True)
class _Kind:
    """A kind of row: the paper's words but for scale, and one query per column without scale and data.

    ``elsewhere`` says per column whether it is judged on other data than the pretraining's; ``free`` are the scale
    fields that its queries leave open.
    """

    words: Mapping[str, str]
    queries: tuple[Query, ...]
    elsewhere: tuple[bool, ...]
    free: frozenset[str]


@dataclass(frozen=True)
class _Column:
    """A column of the miniature: the paper's column at ``place``, on ``dataset``; None is the pretraining's own."""

    name: str
    place: int
    dataset: str | None


def miniature(declaration: PaperDeclaration, reference: Reference, rows: RunRows) -> Layout | None:
    """The layout that runs on other data than the paper's make; None when there are none."""
    published = reference.tables[declaration.published]
    labels = tuple(name for name in published.columns if name not in declaration.columns)
    kinds = _kinds(declaration, published, labels)
    found = {
        (kind, column): _matching(rows, kinds[kind], column, declaration.where.get("pretrain_dataset"))
        for kind in range(len(kinds))
        for column in range(len(declaration.columns))
    }
    if not any(found.values()):
        return None
    told = {field for label in labels for field in _fields(label)}
    fixed = _most_shared([f for f in _SCALE if f not in told and f != "finetune_epochs"], kinds, found)
    columns = _columns(tuple(declaration.columns), kinds, found)
    epochs = {
        column: {} if "finetune_epochs" in told else _most_shared(["finetune_epochs"], kinds, found, column)
        for column in range(len(declaration.columns))
    }
    filled: list[tuple[tuple[Any, ...], LayoutRow]] = []
    for number, kind in enumerate(kinds):
        agreeing = [row for (k, _), those in found.items() if k == number for row in those if _agrees(row, kind, fixed)]
        for key in _keys(agreeing, told - kind.free):
            slots = tuple(
                _slot(kind, column, {**fixed, **epochs[column.place]}, key, found, number) for column in columns
            )
            words = (*(_word(label, kind, key) for label in labels), title(DATASETS, key["pretrain_dataset"]))
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
        notes=tuple(_notes(kinds, found, fixed, epochs)),
        baseline=declaration.baseline,
    )


def _kinds(declaration: PaperDeclaration, published: PublishedTable, labels: Sequence[str]) -> list[_Kind]:
    """The kinds of row that are no citation, in the paper's order."""
    kinds: dict[tuple[str, ...], _Kind] = {}
    for printed in published.rows:
        words = dict(zip(labels, printed, strict=False))
        said = [say(declaration, label, word) for label, word in words.items()]
        name = {label: word for label, word in words.items() if not _fields(label)}
        if any(query is None for query in said) or tuple(name.values()) in kinds:
            continue
        whole = [
            combine(declaration.id, declaration.where, column, *(query for query in said if query is not None))
            for column in declaration.columns.values()
        ]
        kinds[tuple(name.values())] = _Kind(
            words=name,
            queries=tuple(_role(q, column) for q, column in zip(whole, declaration.columns.values(), strict=True)),
            elsewhere=tuple(query.get("dataset") != query.get("pretrain_dataset") for query in whole),
            free=frozenset(field for field in _SCALE if not any(field in query for query in whole)),
        )
    return list(kinds.values())


def _role(query: Query, column: Query) -> Query:
    """``query`` without scale and data; an ablated option stays where the column itself asks for it."""
    asked = [name for name in _ABLATED if name in column]
    dropped = {*_SCALE, "dataset", "pretrain_dataset", *(name for name in _ABLATED if name not in asked)}
    role = {name: value for name, value in query.items() if name not in dropped}
    return {**role, "ablated": [NONE, *asked]} if any(name in query for name in _ABLATED) else role


def _matching(rows: RunRows, kind: _Kind, column: int, home: Any) -> list[RunRow]:
    return [
        row
        for row in rows.answering(kind.queries[column], leaving_out="metric")
        if row["pretrain_dataset"] not in (home, None)
        and (row["dataset"] != row["pretrain_dataset"]) == kind.elsewhere[column]
    ]


def _fields(label: str) -> tuple[str, ...]:
    """The scale fields a label column tells."""
    if label in _BACKBONE_LABELS:
        return ("pretrain_epochs", "backbone") if "epochs" in _BACKBONE_LABELS[label] else ("backbone",)
    numbers = load_vocabulary().numbers
    return (numbers[label],) if label in numbers else ()


def _most_shared(
    fields: Sequence[str],
    kinds: Sequence[_Kind],
    found: Mapping[tuple[int, int], list[RunRow]],
    column: int | None = None,
) -> dict[str, Any]:
    """Values of ``fields`` under which the most kinds have runs; of several those of most runs, then the largest."""
    if not fields:
        return {}
    runs: dict[tuple[Any, ...], list[int]] = {}
    for (number, place_), those in found.items():
        if column in (None, place_) and kinds[number].free.isdisjoint(fields):
            for row in those:
                runs.setdefault(tuple(row[field] for field in fields), []).append(number)
    if not runs:
        return {}
    chosen = max(runs, key=lambda values: (len(set(runs[values])), len(runs[values]), [_rank(v) for v in values]))
    return dict(zip(fields, chosen, strict=True))


def _columns(
    names: Sequence[str], kinds: Sequence[_Kind], found: Mapping[tuple[int, int], list[RunRow]]
) -> list[_Column]:
    """The paper's columns; one that is judged elsewhere becomes one for each data set that was found."""
    columns: list[_Column] = []
    asked = [tuple(str(kind.queries[column]) for kind in kinds) for column in range(len(names))]
    for number, name in enumerate(names):
        if asked.index(asked[number]) < number:
            continue  # the paper's columns differ in the data set alone, and the first stood for all of them
        if not all(kind.elsewhere[number] for kind in kinds):
            columns.append(_Column(name, number, None))
            continue
        datasets = {row["dataset"] for (_, column), rows in found.items() if column == number for row in rows}
        alone = asked.count(asked[number]) > 1
        for dataset in sorted(datasets, key=lambda name: place(DATASETS, name)):
            shown = title(DATASETS, dataset)
            columns.append(_Column(shown if alone else f"{name} ({shown})", number, dataset))
        if not datasets:
            columns.append(_Column(name, number, NONE))
    return columns


def _agrees(row: RunRow, kind: _Kind, fixed: Mapping[str, Any]) -> bool:
    return all(row[field] == value for field, value in fixed.items() if field not in kind.free)


def _keys(rows: Iterable[RunRow], told: Iterable[str]) -> list[dict[str, Any]]:
    fields = ("pretrain_dataset", *sorted(told))
    return [dict(zip(fields, values, strict=True)) for values in {tuple(row[f] for f in fields) for row in rows}]


def _slot(
    kind: _Kind,
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


def _word(label: str, kind: _Kind, key: Key) -> str:
    if label in _BACKBONE_LABELS:
        shown = title(BACKBONES, str(key.get("backbone", "-")))
        return _BACKBONE_LABELS[label].format(backbone=shown, epochs=key.get("pretrain_epochs", "-"))
    fields = _fields(label)
    if not fields:
        return kind.words[label]
    if kind.queries[0].get("stage") == "pretrain":  # trained once, judged by its own classifier
        fields = {"pretrain_epochs": (), "finetune_epochs": ("pretrain_epochs",)}.get(fields[0], fields)
    value = key.get(fields[0]) if fields else None
    return "-" if value is None else str(value)


def _sort_key(number: int, kind: _Kind, key: Key) -> tuple[Any, ...]:
    """Backbone by backbone as the paper's tables go, the smaller setting first, the baseline before OPERA."""
    backbone, batch, finetuning, pretraining = (key.get(field) for field in _SCALE)
    return (
        place(DATASETS, key["pretrain_dataset"]),
        place(BACKBONES, backbone or ""),
        _rank(batch),
        _rank(finetuning),
        number,
        _rank(pretraining),
    )


def _rank(value: Any) -> tuple[Any, ...]:
    return (0,) if value is None else (1, value)


def _notes(
    kinds: Sequence[_Kind],
    found: Mapping[tuple[int, int], list[RunRow]],
    fixed: Mapping[str, Any],
    epochs: Mapping[int, Mapping[str, Any]],
) -> Iterable[str]:
    held = {name: {value} for name, value in fixed.items()}
    for values in epochs.values():
        for name, value in values.items():
            held.setdefault(name, set()).add(value)
    told = [
        f"{name.replace('_', ' ')} {', '.join(str(v) for v in sorted(values, key=_rank))}"
        for name, values in held.items()
        if values != {None}
    ]
    if told:
        yield f"Held fixed, as in the paper, and not printed: {'; '.join(told)}."
    missing = [
        " ".join(kind.words.values())
        for number, kind in enumerate(kinds)
        if not any(rows for (k, _), rows in found.items() if k == number)
    ]
    if missing:
        yield f"No small run of: {', '.join(missing)}."

"""Lays out a published table in miniature: its rows and columns, with every query translated by ``results.scale``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from results.declarations import ANY, PaperDeclaration, Query
from results.reference import Reference, load_vocabulary, published_number
from results.scale import FULL_SIZE_ONLY, PRETRAINING_DIVISORS, shrink, shrink_query
from results.tables.cited import leave_out_cited
from results.tables.layout import Layout, LayoutRow, Slot, find_query, lay_out
from results.tables.rows import RunRows
from results.titles import BACKBONES, dataset_title, title

DATA_LABEL = "Pretrained on"
_HELD_FIXED = ("backbone", "global_batch_size", "pretrain_epochs", "finetune_epochs")


def miniature(declaration: PaperDeclaration, reference: Reference, runs: RunRows) -> Layout:
    """Return the layout of a published table for runs of ``--tiny``, without published numbers.

    Columns whose queries become equal, such as Table 3's four datasets, become one column.
    """
    full, left_out = leave_out_cited(lay_out(declaration, reference), declaration, runs)
    rows: dict[tuple[str, ...], list[Query]] = {}
    for row in full.rows:
        queries = [shrink_query(slot.query) for slot in row.slots if slot.query is not None]
        if queries and row.published_by == "paper":
            words = [_small_label(declaration, *pair, queries[0]) for pair in zip(full.labels, row.labels, strict=True)]
            untrained = "pretrain_epochs" not in queries[0]  # its dataset only sets image size and normalisation
            rows.setdefault((*words, "-" if untrained else _title(queries[0].get("pretrain_dataset"))), queries)
    columns = {name: [queries[index] for queries in rows.values()] for index, name in enumerate(full.columns)}
    alike = {name: [other for other in columns if columns[other] == columns[name]] for name in columns}
    shown = [name for name in columns if alike[name][0] == name]
    merged = {name: [] if len(alike[name]) == 1 else _datasets(columns[name]) for name in shown}
    names = {name: found[0] if found else name for name, found in merged.items()}
    return Layout(
        id=full.id,
        title=f"{full.title} in miniature",
        caption=f"Small runs in the rows and columns of {full.title}. Data, networks and schedules are not the "
        "paper's, so its numbers are left out.",
        source=None,
        labels=(*full.labels, DATA_LABEL),
        columns=tuple(names.values()),
        rows=tuple(
            LayoutRow(words, tuple(Slot(columns[name][index], None) for name in shown))
            for index, words in enumerate(rows)
        ),
        notes=(*_notes({names[name]: columns[name] for name in shown}), *_ignored_conditions(full), *left_out),
        baseline=full.baseline,
        ours=full.ours,
    )


def _small_label(declaration: PaperDeclaration, label: str, word: str, query: Query) -> str:
    """Return a row label in miniature: a number or a network shrinks, any other word stays."""
    field = load_vocabulary().numbers.get(label)
    if field is not None:
        number = published_number(word)
        if number is None:
            return word
        if field in query:
            return str(query[field])
        # The pretraining's own classifier is evaluated, so its finetuning epochs are pretraining epochs.
        if field == "finetune_epochs" and query.get("stage") == "pretrain":
            return str(shrink("epochs", int(number), PRETRAINING_DIVISORS))
        return str(shrink_query({"protocol": query.get("protocol"), field: int(number)})[field])
    meaning = find_query(declaration, label, word)
    small = shrink_query(meaning) if isinstance(meaning, dict) else {}
    if not small or not small.keys() <= {"backbone", "pretrain_epochs"}:
        return word
    return " ".join(title(BACKBONES, str(query.get(field, value))) for field, value in small.items())


def _datasets(queries: Sequence[Query]) -> list[str]:
    """Return the titles of the datasets on which these queries evaluate, each once, without queries that name none."""
    return list(dict.fromkeys(_title(query["dataset"]) for query in queries if "dataset" in query))


def _title(dataset: Any) -> str:
    """Return a query's dataset title, joined titles if it lists several, or ``any`` if it doesn't ask for one."""
    if dataset is None:
        return ANY
    return " or ".join(dataset_title(str(name)) for name in (dataset if isinstance(dataset, list) else [dataset]))


def _ignored_conditions(full: Layout) -> Iterator[str]:
    """Yield a note that lists the conditions of the full table's queries that no tiny run can meet."""
    queries = [slot.query for row in full.rows for slot in row.slots if slot.query is not None]
    pairs = [(column, query[column]) for query in queries for column in FULL_SIZE_ONLY if column in query]
    texts = (
        f"{column} {' or '.join(map(str, value if isinstance(value, list) else [value]))}" for column, value in pairs
    )
    ignored = dict.fromkeys(texts)
    if ignored:
        yield f"Conditions that only full-size runs can meet, not applied here: {'; '.join(ignored)}."


def _notes(columns: dict[str, list[Query]]) -> Iterator[str]:
    queries = [query for found in columns.values() for query in found]
    held: dict[str, Any] = {}
    for field in _HELD_FIXED:
        values = {str(query[field]) for query in queries if field in query}
        held |= {field: values.pop()} if len(values) == 1 else {}
    if held:
        settings = "; ".join(f"{field.replace('_', ' ')} {value}" for field, value in held.items())
        yield f"Held fixed, as in the paper's table: {settings}."
    judged: dict[str, list[str]] = {}
    for name, found in columns.items():
        datasets = [(query.get("dataset"), query.get("pretrain_dataset")) for query in found]
        elsewhere = all(None not in pair and pair[0] != pair[1] for pair in datasets)
        if elsewhere and len(_datasets(found)) == 1:
            judged.setdefault(_datasets(found)[0], []).append(name)
    for dataset, names in judged.items():
        if names != [dataset]:
            yield f"Judged on {dataset}{'' if len(names) == len(columns) else ': ' + ', '.join(names)}."

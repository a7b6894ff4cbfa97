"""Turns a declaration into rows of slots: one query and one published number per cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.declarations import ANY, Cited, Declaration, OwnDeclaration, PaperDeclaration, Query, SecondBaseline
from results.errors import InputError
from results.reference import Reference, load_reference, load_vocabulary, published_number

CITED = "cited"


@dataclass(frozen=True)
class Slot:
    """A cell to be filled; ``query`` is None if the row's method is only cited by the paper.

    If ``is_cited``, the cell shows runs if there are any, and else that the paper cites the method.
    """

    query: Query | None
    published: str | None
    is_cited: bool = False


@dataclass(frozen=True)
class LayoutRow:
    labels: tuple[str, ...]
    slots: tuple[Slot, ...]
    published_by: str = "paper"


@dataclass(frozen=True)
class Layout:
    id: str
    title: str
    caption: str
    source: str | None
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[LayoutRow, ...]
    notes: tuple[str, ...]
    baseline: str
    ours: str


def lay_out(declaration: Declaration, reference: Reference) -> Layout:
    """Return the layout of a table: header, rows and the query of each cell.

    Raises
    ------
    InputError
        The declaration names a table, column or word that the reference doesn't have, or contradicts itself.
    """
    if isinstance(declaration, OwnDeclaration):
        return _lay_out_own(declaration)
    return _lay_out_published(declaration, reference)


def combine(where: str, *queries: Query) -> Query:
    """Join queries into one; if any query sets a column to ``any``, that column is not constrained.

    Raises
    ------
    InputError
        Two queries set one column to different values; ``where`` names the table in the message.
    """
    combined: Query = {}
    lifted = {name for query in queries for name, value in query.items() if value == ANY}
    for query in queries:
        for name, value in query.items():
            if name not in lifted and combined.setdefault(name, value) != value:
                raise InputError(f"table {where}: {name} is both {combined[name]} and {value} in one cell")
    return combined


def _lay_out_own(declaration: OwnDeclaration) -> Layout:
    rows = []
    for row in declaration.rows:
        if len(row.labels) != len(declaration.labels):
            raise InputError(
                f"table {declaration.id}: row {row.labels} needs {len(declaration.labels)} labels: {declaration.labels}"
            )
        slots = tuple(
            Slot(combine(declaration.id, declaration.where, column, row.where), row.official.get(name))
            for name, column in declaration.columns.items()
        )
        rows.append(LayoutRow(row.labels, slots, published_by="official" if row.official else "paper"))
    return Layout(
        declaration.id,
        declaration.title,
        declaration.caption,
        None,
        declaration.labels,
        tuple(declaration.columns),
        tuple(rows),
        declaration.notes,
        declaration.baseline,
        declaration.ours,
    )


def _lay_out_published(declaration: PaperDeclaration, reference: Reference) -> Layout:
    published = reference.tables.get(declaration.published)
    if published is None:
        raise InputError(f"table {declaration.id}: {reference.id} has no table {declaration.published!r}")
    labels = tuple(name for name in published.columns if name not in declaration.columns)
    if published.columns != (*labels, *declaration.columns):
        raise InputError(
            f"table {declaration.id}: columns {list(declaration.columns)} must end the header of "
            f"{declaration.published}: {list(published.columns)}"
        )
    baseline = declaration.baseline or reference.baseline
    rows = []
    for printed in published.rows:
        words, numbers = printed[: len(labels)], printed[len(labels) :]
        rows.append(LayoutRow(words, _slots(declaration, labels, words, numbers)))
    if declaration.second_baseline is not None:
        rows = _with_second_baseline(declaration, declaration.second_baseline, labels, rows, baseline)
    return Layout(
        declaration.id,
        published.source,
        published.caption,
        f"{published.source} of {reference.title}",
        labels,
        tuple(declaration.columns),
        tuple(rows),
        (*declaration.notes, *(_describe_reference_table(name) for name in declaration.see_also)),
        baseline,
        declaration.ours or reference.ours,
    )


def _slots(
    declaration: PaperDeclaration, labels: Sequence[str], words: Sequence[str], numbers: Sequence[str | None]
) -> tuple[Slot, ...]:
    queries = [find_query(declaration, column, word) for column, word in zip(labels, words, strict=True)]
    if None in queries:
        return tuple(Slot(None, number, is_cited=True) for number in numbers)
    cited = {name: value for query in queries if isinstance(query, Cited) for name, value in query.cited.items()}
    is_cited = any(isinstance(query, Cited) for query in queries)
    others = (declaration.where, *(query for query in queries if isinstance(query, dict)))
    kept = [{name: value for name, value in query.items() if name not in cited} for query in others]
    return tuple(
        Slot(combine(declaration.id, column, *kept, cited), number, is_cited)
        for column, number in zip(declaration.columns.values(), numbers, strict=True)
    )


def _with_second_baseline(
    declaration: PaperDeclaration,
    second: SecondBaseline,
    labels: tuple[str, ...],
    rows: list[LayoutRow],
    baseline: str,
) -> list[LayoutRow]:
    """Insert each row of ``second`` below the last baseline row whose labels, except Method and BS, are equal.

    A row without such a baseline row is left out.
    """
    reference_name, _, table_name = second.reference.partition("/")
    reference = load_reference(reference_name).tables[table_name]
    placed = list(rows)
    for printed in reference.rows:
        given = dict(zip(reference.columns, printed, strict=True))
        if any(given[column] != word for column, word in second.where.items()):
            continue
        words = tuple(second.labels.get(label) or given[label] for label in labels)
        alike = [label for label in labels if label not in ("Method", "BS")]
        baseline_rows = [
            row
            for row in placed
            if dict(zip(labels, row.labels, strict=True)).get("Method") == baseline
            and all(row.labels[labels.index(label)] == words[labels.index(label)] for label in alike)
        ]
        if baseline_rows:
            numbers = [given.get(column) for column in declaration.columns]
            slots = _slots(declaration, labels, words, numbers)
            placed.insert(placed.index(baseline_rows[-1]) + 1, LayoutRow(words, slots, published_by="official"))
    return placed


def find_query(declaration: PaperDeclaration, column: str, word: str) -> Query | Cited | None:
    """Return the query for a word in a label column; None if the word names a cited method that has no runs."""
    vocabulary = load_vocabulary()
    words: Mapping[str, object] = {
        **vocabulary.words.get(column, {}),
        **declaration.words.get(column, {}),
    }
    if column in vocabulary.numbers:
        number = published_number(word)
        return {} if number is None else {vocabulary.numbers[column]: int(number)}
    query = words.get(word)
    if isinstance(query, Cited):
        return query
    if isinstance(query, dict):
        return Cited.model_validate(query) if CITED in query else query
    if query == CITED:
        return None
    raise InputError(f"table {declaration.id}: no query for {word!r} in column {column!r}; known: {', '.join(words)}")


def _describe_reference_table(name: str) -> str:
    """Describe all rows of a published table in one sentence."""
    reference_name, _, table_name = name.partition("/")
    reference = load_reference(reference_name)
    table = reference.tables[table_name]
    rows = "; ".join(", ".join(row) for row in table.rows)
    return f"{reference.title} ({reference.source}), as {', '.join(table.columns)}: {rows}."

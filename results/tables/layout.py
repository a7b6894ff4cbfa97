"""From a declaration to one query per cell, with the published number beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from results.declarations import ANY, Declaration, OwnDeclaration, PaperDeclaration, Query
from results.errors import InputError
from results.reference import Reference, load_reference, load_vocabulary, published_number

CITED = "cited"


@dataclass(frozen=True)
class Slot:
    """An empty cell; ``query`` is None for a method the paper only cites."""

    query: Query | None
    published: str | None


@dataclass(frozen=True)
class LayoutRow:
    labels: tuple[str, ...]
    slots: tuple[Slot, ...]


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


def lay_out(declaration: Declaration, reference: Reference) -> Layout:
    """Work out every cell's query.

    Raises
    ------
    InputError
        The declaration names a table, column or word that the reference has not, or contradicts itself.
    """
    if isinstance(declaration, OwnDeclaration):
        return _lay_out_own(declaration)
    return _lay_out_published(declaration, reference)


def combine(where: str, *queries: Query) -> Query:
    """All constraints together; ``any`` lifts one wherever it stands.

    Raises
    ------
    InputError
        Two queries demand different values of one column; ``where`` names the table in the message.
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
            Slot(combine(declaration.id, declaration.where, column, row.where), None)
            for column in declaration.columns.values()
        )
        rows.append(LayoutRow(row.labels, slots))
    return Layout(
        declaration.id,
        declaration.title,
        declaration.caption,
        None,
        declaration.labels,
        tuple(declaration.columns),
        tuple(rows),
        declaration.notes,
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
    rows = []
    for printed in published.rows:
        words, numbers = printed[: len(labels)], printed[len(labels) :]
        said = [_say(declaration, column, word) for column, word in zip(labels, words, strict=True)]
        slots = []
        for column, number in zip(declaration.columns.values(), numbers, strict=True):
            queries = [query for query in said if query is not None]
            cited = len(queries) < len(said)
            query = None if cited else combine(declaration.id, declaration.where, column, *queries)
            slots.append(Slot(query, number))
        rows.append(LayoutRow(words, tuple(slots)))
    return Layout(
        declaration.id,
        published.source,
        published.caption,
        f"{published.source} of {reference.title}",
        labels,
        tuple(declaration.columns),
        tuple(rows),
        (*declaration.notes, *(_tell(name) for name in declaration.see_also)),
    )


def _say(declaration: PaperDeclaration, column: str, word: str) -> Query | None:
    """The query that a label cell stands for; None when it names a cited method."""
    vocabulary = load_vocabulary()
    words: Mapping[str, object] = {
        **vocabulary.words.get(column, {}),
        **declaration.words.get(column, {}),
    }
    if column in vocabulary.numbers:
        number = published_number(word)
        return {} if number is None else {vocabulary.numbers[column]: int(number)}
    query = words.get(word)
    if isinstance(query, dict):
        return query
    if query == CITED:
        return None
    raise InputError(f"table {declaration.id}: no query for {word!r} in column {column!r}; known: {', '.join(words)}")


def _tell(name: str) -> str:
    """A published table in one sentence."""
    reference_name, _, table_name = name.partition("/")
    reference = load_reference(reference_name)
    table = reference.tables[table_name]
    rows = "; ".join(", ".join(row) for row in table.rows)
    return f"{reference.title} ({reference.source}), as {', '.join(table.columns)}: {rows}."

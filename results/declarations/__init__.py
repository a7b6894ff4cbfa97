"""Reads table declarations: YAML files whose rows and columns are queries on the columns of runs.

A cell's query joins the ``where`` of the table, the row and the column. A query maps frame columns to values; a list
matches any of its values, and the word ``any`` removes the condition that another part of the cell's query sets. A
column may also be an option of a method or evaluator that only the runs know, see ``results.columns``.

There are two kinds of YAML file. Each holds one table and is called ``<id>.yaml``:

*published table* (has ``published:``): header, rows, caption and numbers come from ``results/reference``;
``results/reference/vocabulary.yaml`` and the file's own ``words`` translate its label columns into queries.

*own table*: the file itself has ``title``, ``caption``, ``labels`` (header of the label columns) and ``rows``.

Other distributions offer tables under the entry point group ``opera_bench.tables``; each entry point names a package
with such files. A table that belongs to one sweep is named by the path of its file.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError

from results import safe_yaml
from results.columns import COLUMNS, mistaken_for
from results.errors import InputError
from results.plugins import Offer, entry_points_of, find, find_refusals, load, owner_of
from results.reference import load_methods

ENTRY_POINTS = "opera_bench.tables"


def _checked_query(query: dict[str, Any]) -> dict[str, Any]:
    """Return ``query``; refuse a name that is no declared column and can't be the column of an option."""
    for name, value in query.items():
        if name not in COLUMNS and mistaken_for(name):
            raise ValueError(
                f"no frame column {name!r}; allowed: {', '.join(COLUMNS)}, an option of a method, such as temperature, "
                "or an option of an evaluator, such as protocol_temperature"
            )
        # YAML's yes and no are truth values, and only options have those.
        if name in COLUMNS and any(isinstance(item, bool) for item in (value if isinstance(value, list) else [value])):
            raise ValueError(f"{name}: {value} is a truth value; write text or a number, text such as 'no' in quotes")
    return query


# Strict, because pydantic would otherwise accept YAML's yes and no as 1 and 0.
Scalar = Annotated[str, Strict()] | Annotated[bool, Strict()] | Annotated[int, Strict()] | Annotated[float, Strict()]
Query = Annotated[dict[str, Scalar | list[Scalar]], AfterValidator(_checked_query)]
ANY = "any"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OwnRow(_Part):
    """A row of an own table; ``official`` maps columns to the numbers that the method's authors print."""

    labels: tuple[str, ...]
    where: Query
    official: dict[str, str] = {}


class OwnDeclaration(_Part):
    """A table without a published counterpart; ``baseline`` and ``ours`` as in ``PaperDeclaration``."""

    id: str
    title: str
    caption: str
    labels: tuple[str, ...]
    rows: tuple[OwnRow, ...]
    columns: dict[str, Query]
    where: Query = {}
    baseline: str = Field(default_factory=lambda: load_methods().title(load_methods().baseline))
    ours: str = Field(default_factory=lambda: load_methods().title(load_methods().ours))
    notes: tuple[str, ...] = ()


class SecondBaseline(_Part):
    """Rows of a second source, each printed below the published row it repeats.

    Parameters
    ----------
    reference
        ``<reference>/<table>`` in ``results/reference``; its columns are a subset of the published table's.
    labels
        Label column → text, for label columns that the reference doesn't have.
    where
        Column → word: use only the rows of the reference with these words.
    """

    reference: str
    labels: dict[str, str]
    where: dict[str, str] = {}


class Cited(_Part):
    """A method that the paper cites: its number, and ours if runs match.

    ``cited`` replaces the conditions that the row's other words and the table's ``where`` set on the same columns,
    because the paper's row may differ from the settings of the run that its number comes from. ``needs`` says what a
    run of the method needs from its user.
    """

    cited: Query
    needs: str = ""


class PaperDeclaration(_Part):
    """A table with the rows and columns of a published table, filled with our numbers.

    Parameters
    ----------
    published
        Table in ``results/reference/opera_paper.yaml``.
    columns
        Published columns that hold numbers → query; all other columns are labels.
    words
        Label column → word → query, or ``{cited: query}`` for a method that the paper cites, or ``cited`` for one that
        has no runs; in addition to the vocabulary.
    baseline
        Method of the baseline rows; the reference's by default. A row of ``ours`` is compared with the nearest one
        above it that has the same backbone and finetuning.
    ours
        Rows whose method begins with this word are compared with the baseline; the reference's by default.
    second_baseline
        Another source's numbers for the baseline, in separate rows.
    see_also
        ``<reference>/<table>`` whose numbers are printed in a note.
    """

    id: str
    published: str
    columns: dict[str, Query]
    where: Query = {}
    words: dict[str, dict[str, Query | Cited | Literal["cited"]]] = {}
    baseline: str | None = None
    ours: str | None = None
    second_baseline: SecondBaseline | None = None
    see_also: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Declaration = OwnDeclaration | PaperDeclaration


def table_names() -> tuple[str, ...]:
    """Return the names of all shipped and offered tables, sorted."""
    return tuple(sorted({*_shipped(), *(offer.name for offer in _offers())}))


def published_table_names() -> tuple[str, ...]:
    """Return the names of the shipped tables that follow a published table, sorted."""
    return tuple(name for name in _shipped() if isinstance(find_declaration(name), PaperDeclaration))


def is_path(name: str) -> bool:
    """Return whether ``name`` is the path of a table's file, and not a table's name."""
    return name.endswith((".yaml", ".yml"))


def find_declaration(name: str) -> Declaration:
    """Return the declaration called ``name``; if ``name`` is a path, the declaration in that file.

    Raises
    ------
    InputError
        No such table: the message gives the nearest match and lists all tables. Or the declaration is invalid.
    """
    if is_path(name):
        return _read_path(Path(name))
    return _find_named(name)


@functools.cache
def _find_named(name: str) -> Declaration:
    offer = find("table", name, _shipped(), _offers())
    if offer is not None:
        return cast(Declaration, load("table", offer))
    return _read(files("results.declarations") / f"{name}.yaml")


def _read_path(path: Path) -> Declaration:
    if not path.is_file():
        raise InputError(f"table {path}: no such file")
    try:
        declared = _read(path)
    except InputError as error:
        raise InputError(f"table {path}: {error}") from error
    if declared.id in table_names():
        raise InputError(f"table {path}: its id {declared.id!r} is the name of another table; choose another id")
    return declared


@functools.cache
def _shipped() -> tuple[str, ...]:
    return tuple(sorted(file.name.removesuffix(".yaml") for file in _yaml_files("results.declarations")))


@functools.cache
def _offers() -> tuple[Offer, ...]:
    return tuple(_find_offers())


def _find_offers() -> Iterator[Offer]:
    """Yield the tables that other distributions offer; skip packages that can't be imported, which doctor reports."""
    for point in entry_points_of(ENTRY_POINTS):
        try:
            found = _yaml_files(point.value)
        except (Exception, SystemExit):  # importing the package may raise anything
            continue
        for file in found:
            name = file.name.removesuffix(".yaml")
            yield Offer(name, owner_of(point), str(file), functools.partial(_read, file))


def refused_tables() -> list[str]:
    """Return one sentence for each table or package of another distribution that can't be used."""
    sentences = []
    for point in entry_points_of(ENTRY_POINTS):
        try:
            _yaml_files(point.value)
        except (Exception, SystemExit) as error:
            sentences.append(
                f"tables of {owner_of(point)} ({point.value}) can't be used: {type(error).__name__}: {error}"
            )
    return [*sentences, *find_refusals(_find_named, _offers())]


def _yaml_files(package: str) -> list[Traversable]:
    found = (file for file in files(package).iterdir() if file.name.endswith(".yaml"))
    return sorted(found, key=lambda file: file.name)


def _read(file: Traversable) -> Declaration:
    """Return the declaration in ``file``.

    Raises
    ------
    InputError
        The file can't be read, isn't YAML, or isn't a table; the message says what is wrong and where in the file.
    """
    try:
        loaded = safe_yaml.load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"can't be read: {str(error).splitlines()[0]}") from error
    if not isinstance(loaded, dict):
        raise InputError("a table is a mapping with id, columns and rows, or id, published and columns")
    kind = PaperDeclaration if "published" in loaded else OwnDeclaration
    try:
        declared = kind.model_validate(loaded)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}") from error
    if not declared.id.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"id: {declared.id!r} may hold letters, digits, - and _")
    return declared

"""What a table shows, as data: rows and columns are queries on the frame of ``results.frame``.

Each cell's query is the table's ``where``, its row's and its column's together. A query names frame columns; a list
means any of its values, the word ``any`` lifts what another part of the cell's query demands.

Two kinds of YAML file, one table each, called ``<id>.yaml``:

*after a published table* (``published:``): header, rows, caption and numbers come from ``results/reference``; the
words in its label columns become queries by ``results/reference/vocabulary.yaml`` and the file's own ``words``.

*of our own*: ``title``, ``caption``, ``labels`` (header of the label columns) and ``rows`` stand in the file.

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
from pydantic import AfterValidator, BaseModel, ConfigDict, Strict, ValidationError

from results import safe_yaml
from results.errors import InputError
from results.frame import COLUMNS
from results.plugins import Offer, entry_points_of, find, load, owner_of

ENTRY_POINTS = "opera_bench.tables"


def _only_frame_columns(query: dict[str, Any]) -> dict[str, Any]:
    for name in query:
        if name not in COLUMNS:
            raise ValueError(f"no frame column {name!r}; allowed: {', '.join(COLUMNS)}")
    return query


# Strict: yes and no are words or nothing, never 1 and 0.
Scalar = Annotated[str, Strict()] | Annotated[int, Strict()] | Annotated[float, Strict()]
Query = Annotated[dict[str, Scalar | list[Scalar]], AfterValidator(_only_frame_columns)]
ANY = "any"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OwnRow(_Part):
    """``official`` is what MoCo-v3's own repository prints in some of the columns."""

    labels: tuple[str, ...]
    where: Query
    official: dict[str, str] = {}


class OwnDeclaration(_Part):
    """A table that no paper prints; ``baseline`` and ``ours`` as in ``PaperDeclaration``."""

    id: str
    title: str
    caption: str
    labels: tuple[str, ...]
    rows: tuple[OwnRow, ...]
    columns: dict[str, Query]
    where: Query = {}
    baseline: str = "MoCo-v3"
    ours: str = "OPERA"
    notes: tuple[str, ...] = ()


class SecondBaseline(_Part):
    """Rows of another source below the published rows they stand for.

    Parameters
    ----------
    reference
        ``<reference>/<table>`` in ``results/reference``, whose columns are some of the published table's.
    labels
        What its rows say in the label columns the reference has not.
    where
        Column → word: only these rows of the reference.
    """

    reference: str
    labels: dict[str, str]
    where: dict[str, str] = {}


class PaperDeclaration(_Part):
    """Our numbers in the frame of a published table.

    Parameters
    ----------
    published
        Table in ``results/reference/opera_paper.yaml``.
    columns
        The published header's columns that hold numbers; all others are labels.
    words
        Label column → word → query or ``cited``, over and above the vocabulary.
    baseline
        The method whose nearest row above, with the same backbone and finetuning, a row of ``ours`` has to better.
    ours
        Rows whose method begins with this word are held against the baseline.
    second_baseline
        Another source's numbers for the baseline, in rows of their own.
    see_also
        ``<reference>/<table>`` whose numbers are told in a note.
    """

    id: str
    published: str
    columns: dict[str, Query]
    where: Query = {}
    words: dict[str, dict[str, Query | Literal["cited"]]] = {}
    baseline: str = "MoCo-v3†"
    ours: str = "OPERA"
    second_baseline: SecondBaseline | None = None
    see_also: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Declaration = OwnDeclaration | PaperDeclaration


def table_names() -> tuple[str, ...]:
    """Every table that has a name, sorted."""
    return tuple(sorted({*_shipped(), *(offer.name for offer in _offers())}))


def published_table_names() -> tuple[str, ...]:
    """The shipped tables that stand after a published one, sorted."""
    return tuple(name for name in _shipped() if isinstance(find_declaration(name), PaperDeclaration))


def is_path(name: str) -> bool:
    """Whether a table is named by the path of its file."""
    return name.endswith((".yaml", ".yml"))


def find_declaration(name: str) -> Declaration:
    """The declaration called ``name``, or in the file of that path.

    Raises
    ------
    InputError
        No such table: the message lists what there is and the nearest match. Or a declaration that can't be used.
    """
    if is_path(name):
        return _of_file(Path(name))
    return _named(name)


@functools.cache
def _named(name: str) -> Declaration:
    offer = find("table", name, _shipped(), _offers())
    if offer is not None:
        return cast(Declaration, load("table", offer))
    return _read(files("results.declarations") / f"{name}.yaml")


def _of_file(path: Path) -> Declaration:
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
    """What other distributions offer. A package that can't be imported offers nothing, and doctor tells why."""
    for point in entry_points_of(ENTRY_POINTS):
        try:
            found = _yaml_files(point.value)
        except (Exception, SystemExit):  # its code may raise anything when it is imported
            continue
        for file in found:
            name = file.name.removesuffix(".yaml")
            yield Offer(name, owner_of(point), str(file), functools.partial(_read, file))


def refused_tables() -> list[str]:
    """A sentence for each table of another distribution that can't be used."""
    sentences = []
    for point in entry_points_of(ENTRY_POINTS):
        try:
            _yaml_files(point.value)
        except (Exception, SystemExit) as error:
            sentences.append(
                f"tables of {owner_of(point)} ({point.value}) can't be used: {type(error).__name__}: {error}"
            )
    for name in sorted({offer.name for offer in _offers()}):
        try:
            _named(name)
        except InputError as error:
            sentences.append(str(error))
    return sentences


def _yaml_files(package: str) -> list[Traversable]:
    found = (file for file in files(package).iterdir() if file.name.endswith(".yaml"))
    return sorted(found, key=lambda file: file.name)


def _read(file: Traversable) -> Declaration:
    """
    Raises
    ------
    InputError
        Not YAML, or not a table; says what and where in the file.
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

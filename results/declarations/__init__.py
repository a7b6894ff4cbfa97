"""What a table shows, as data: rows and columns are queries on the frame of ``results.frame``.

Each cell's query is the table's ``where``, its row's and its column's together. A query names frame columns; a list
means any of its values, the word ``any`` lifts what another part of the cell's query demands.

Two kinds of YAML file, one table each, called ``<id>.yaml``:

*after a published table* (``published:``): header, rows, caption and numbers come from ``results/reference``; the
words in its label columns become queries by ``results/reference/vocabulary.yaml`` and the file's own ``words``.

*of our own*: ``title``, ``caption``, ``labels`` (header of the label columns) and ``rows`` stand in the file.
"""

from __future__ import annotations

import difflib
import functools
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from results import safe_yaml
from results.errors import InputError
from results.frame import COLUMNS


def _only_frame_columns(query: dict[str, Any]) -> dict[str, Any]:
    for name in query:
        if name not in COLUMNS:
            raise ValueError(f"no frame column {name!r}; allowed: {', '.join(COLUMNS)}")
    return query


Scalar = str | int | float
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
    """A table that no paper prints; ``baseline`` as in ``PaperDeclaration``."""

    id: str
    title: str
    caption: str
    labels: tuple[str, ...]
    rows: tuple[OwnRow, ...]
    columns: dict[str, Query]
    where: Query = {}
    baseline: str = "MoCo-v3"
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
        The method whose nearest row above, with the same backbone and finetuning, an OPERA row has to better.
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
    second_baseline: SecondBaseline | None = None
    see_also: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Declaration = OwnDeclaration | PaperDeclaration


def table_names() -> tuple[str, ...]:
    """Every table there is, sorted."""
    found = (file.name for file in files("results.declarations").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


def published_table_names() -> tuple[str, ...]:
    """The tables that stand after a published one, sorted."""
    return tuple(name for name in table_names() if isinstance(find_declaration(name), PaperDeclaration))


@functools.cache
def find_declaration(name: str) -> Declaration:
    """The declaration called ``name``.

    Raises
    ------
    InputError
        No such table; the message lists what there is and the nearest match.
    """
    names = table_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"unknown table {name!r}; {hint}allowed: {', '.join(names)}")
    file = files("results.declarations") / f"{name}.yaml"
    loaded = safe_yaml.load(file.read_text(encoding="utf-8"))
    kind = PaperDeclaration if "published" in loaded else OwnDeclaration
    return kind.model_validate(loaded)

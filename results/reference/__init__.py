"""Loads published numbers: one YAML file per source, each number as printed."""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from results import safe_yaml
from results.errors import InputError
from results.metrics import Metric


class PublishedTable(BaseModel):
    """One published table; each cell is the printed text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @model_validator(mode="after")
    def _rows_fit_the_header(self) -> PublishedTable:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row {row} has {len(row)} cells, the header {len(self.columns)}")
        return self


class PublishedMetric(BaseModel):
    """The declaration of a metric of published numbers; ``source`` says where its tolerance comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    declaration: Metric


class Reference(BaseModel):
    """The published tables of one source, and the metrics in them by name.

    ``baseline`` and ``ours`` are the methods that its bold numbers compare.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    title: str
    source: str
    baseline: str = ""
    ours: str = ""
    metrics: dict[str, PublishedMetric] = {}
    tables: dict[str, PublishedTable]


class Vocabulary(BaseModel):
    """Translates the words in a published table's label columns into queries, see ``vocabulary.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    numbers: dict[str, str]
    words: dict[str, dict[str, dict[str, Any] | str]]


class VariantLook(BaseModel):
    """Title and style of a variant; ``main`` holds the method's named options as published, by option."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    colour: str | None = None
    marker: str | None = None
    hatch: str = ""
    main: dict[str, str] = {}


class Methods(BaseModel):
    """Titles and styles of methods, see ``methods.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    baseline: str
    ours: str
    variants: dict[str, VariantLook]
    compared: dict[str, tuple[str, ...]]

    def title(self, variant: str) -> str:
        """Return the title of a variant; an unknown one is returned as is."""
        return self.variants[variant].title if variant in self.variants else variant


@functools.cache
def load_methods() -> Methods:
    return Methods.model_validate(_read("methods"))


@functools.cache
def load_reference(name: str = "opera_paper") -> Reference:
    """Return the published numbers of ``results/reference/<name>.yaml``."""
    return Reference.model_validate(_read(name))


@functools.cache
def load_vocabulary() -> Vocabulary:
    return Vocabulary.model_validate(_read("vocabulary"))


def published_metric(name: str) -> Metric | None:
    """Return the declaration of a metric that the OPERA paper prints; None if it prints no such metric."""
    known = load_reference().metrics.get(name)
    return None if known is None else known.declaration


def published_number(printed: str) -> float | None:
    """Return the value of a printed cell; None for the paper's dash."""
    try:
        return float(printed)
    except ValueError:
        return None


def _read(name: str) -> Any:
    file = files("results.reference") / f"{name}.yaml"
    if not file.is_file():
        raise InputError(f"no published numbers called {name!r} in results/reference")
    return safe_yaml.load(file.read_text(encoding="utf-8"))

"""Combines a sweep with the sweeps that it includes. Doesn't import torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.sweep.errors import InputError
from bench.sweep.model import Sweep
from bench.sweep.overrides import apply_overrides
from bench.sweep.read import check_sweep, read_sweep
from bench.sweep.source import Source
from results.declarations import find_declaration, is_path
from results.errors import InputError as ResultsInputError

_KEYS_FOR_INCLUDED = ("pretrain", "evaluate")
"""Top-level keys whose ``--set`` assignments also apply to included sweeps; others change only the including sweep."""


def compose(name_or_path: str, overrides: Sequence[str]) -> Sweep:
    """Read a sweep and all sweeps that it includes, with ``--set`` assignments applied.

    Raises
    ------
    InputError
        A document is invalid, an assignment can't be applied to any document, a sweep includes itself, or two included
        sweeps give different directories for a dataset.
    """
    assignments = _Assignments(overrides)
    document, directory = read_sweep(name_or_path)
    sweep = _compose(document, directory, assignments, (_identity(name_or_path, Path()),))
    assignments.require_all_taken()
    return sweep


class _Assignments:
    def __init__(self, all_: Sequence[str]) -> None:
        self.all = all_
        self.taken: set[str] = set()
        self.refused: dict[str, InputError] = {}

    def lay_over(self, source: Source, *, is_included: bool) -> Source:
        includes = isinstance(source.data, dict) and "include" in source.data
        for assignment in self.all:
            first = assignment.partition("=")[0].partition(".")[0]
            if is_included and first not in _KEYS_FOR_INCLUDED:
                continue
            if includes and first in _KEYS_FOR_INCLUDED and first not in source.data:
                continue
            try:
                source = apply_overrides(source, (assignment,))
                self.taken.add(assignment)
            except InputError as error:
                self.refused.setdefault(assignment, error)
        return source

    def require_all_taken(self) -> None:
        for assignment in self.all:
            if assignment not in self.taken:
                missing = InputError(f"--set {assignment}: no included sweep has such an entry")
                raise self.refused.get(assignment, missing)


def _compose(document: Source, directory: Path, assignments: _Assignments, line: tuple[str, ...]) -> Sweep:
    """Check a document and the sweeps that it includes; ``line`` identifies all including sweeps and then itself."""
    source = assignments.lay_over(document, is_included=len(line) > 1)
    sweep = check_sweep(source)
    parts = []
    for position, word in enumerate(sweep.file.include):
        where = sweep.where("include", position)
        identity = _identity(word, directory)
        if identity in line:
            raise InputError(f"{where}: {word} includes itself")
        try:
            included, beside = read_sweep(word, directory)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        parts.append(_compose(included, beside, assignments, (*line, identity)))
    joined = {
        "data": _join_data(sweep, parts),
        "tables": _union(*(part.file.tables for part in parts), _tables(sweep, directory)),
        "figures": _union(*(part.file.figures for part in parts), sweep.file.figures),
    }
    return Sweep(sweep.file.model_copy(update=joined), source, tuple(parts))


def _tables(sweep: Sweep, directory: Path) -> tuple[str, ...]:
    """Return the sweep's own tables; relative paths, which start in the sweep's directory, become absolute."""
    found = []
    for position, name in enumerate(sweep.file.tables):
        if not is_path(name):
            found.append(name)
            continue
        path = str((directory / name).resolve())
        try:
            find_declaration(path)
        except ResultsInputError as error:
            raise InputError(f"{sweep.where('tables', position)}: {error}") from error
        found.append(path)
    return tuple(found)


def _identity(name: str, beside: Path) -> str:
    path = beside / name
    return str(path.resolve()) if os.path.isfile(path) else name  # noqa: PTH113


def _join_data(sweep: Sweep, parts: Iterable[Sweep]) -> Mapping[str, str]:
    joined: dict[str, str] = {}
    named_by: dict[str, str] = {}
    for part in parts:
        for dataset, directory in part.file.data.items():
            if joined.setdefault(dataset, directory) != directory and dataset not in sweep.file.data:
                raise InputError(
                    f"{sweep.where('include')}: {named_by[dataset]} and {part.name} name different directories for "
                    f"dataset {dataset}; choose one with data: {{{dataset}: …}}"
                )
            named_by.setdefault(dataset, part.name)
    return {**joined, **sweep.file.data}


def _union(*lists: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in lists for name in names))

"""Combines a sweep with its groups of rows and the sweeps that it includes. Doesn't import torch."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.sweep.errors import InputError
from bench.sweep.file import ALL_ROWS, OWN_ROWS
from bench.sweep.model import Sweep
from bench.sweep.overrides import apply_overrides
from bench.sweep.read import check_sweep, read_sweep
from bench.sweep.source import Source
from pretrain.plugins import suggest
from results.declarations import find_declaration, is_path
from results.errors import InputError as ResultsInputError

_KEYS_FOR_PARTS = ("pretrain", "evaluate", "groups")
"""Top-level keys whose ``--set`` assignments also apply to groups and included sweeps; others change only the sweep."""


def compose(name_or_path: str, overrides: Sequence[str], default_rows: str) -> Sweep:
    """Read a sweep, its groups of rows and all sweeps that it includes, with ``--set`` assignments applied.

    Parameters
    ----------
    default_rows
        ``own`` or ``all``: the rows of a sweep if neither it nor a sweep that includes it sets ``rows``.

    Raises
    ------
    InputError
        A document is invalid, an assignment can't be applied to any document, a sweep includes itself, ``rows`` names
        no group, or two included sweeps give different directories for a dataset.
    """
    assignments = _Assignments(overrides)
    document, directory = read_sweep(name_or_path)
    sweep = _compose(document, directory, assignments, (_identity(name_or_path, Path()),), (default_rows,))
    assignments.require_all_taken()
    return sweep


class _Assignments:
    def __init__(self, all_: Sequence[str]) -> None:
        self.all = all_
        self.taken: set[str] = set()
        self.refused: dict[str, InputError] = {}

    def lay_over(self, source: Source, *, is_part: bool) -> Source:
        data = source.data if isinstance(source.data, dict) else {}
        for assignment in self.all:
            first = assignment.partition("=")[0].partition(".")[0]
            if is_part and first not in _KEYS_FOR_PARTS:
                continue
            may_be_elsewhere = is_part or "include" in data or first == "groups"
            if may_be_elsewhere and first in _KEYS_FOR_PARTS and first not in data:
                continue
            try:
                _require_group(source, assignment)
                source = apply_overrides(source, (assignment,))
                if first != "groups":  # it counts if the group is chosen
                    self.taken.add(assignment)
            except InputError as error:
                self.refused.setdefault(assignment, error)
        return source

    def take_for_groups(self, chosen: Collection[str], groups: Collection[str]) -> None:
        """Note which assignments to groups have an effect, because their group is chosen."""
        for assignment in self.all:
            first, name, *_ = [*assignment.partition("=")[0].split("."), ""]
            if first == "groups" and name in chosen:
                self.taken.add(assignment)
            elif first == "groups" and name in groups:
                unchosen = f"--set {assignment}: group {name} is not chosen; add --set rows={name}, or rows={ALL_ROWS}"
                self.refused.setdefault(assignment, InputError(unchosen))

    def require_all_taken(self) -> None:
        for assignment in self.all:
            if assignment not in self.taken:
                missing = InputError(
                    f"--set {assignment}: no such entry in this sweep, its groups and the sweeps that it includes"
                )
                raise self.refused.get(assignment, missing)


def _compose(
    document: Source, directory: Path, assignments: _Assignments, line: tuple[str, ...], rows: tuple[str, ...]
) -> Sweep:
    """Check a document, its groups and the sweeps that it includes.

    ``line`` identifies all including sweeps and then this one. ``rows`` holds the ``rows`` of the including sweeps, the
    outermost first, and last the default.
    """
    source = assignments.lay_over(document, is_part=len(line) > 1)
    sweep = check_sweep(source)
    if sweep.file.rows is not None:
        rows = (*rows[:-1], sweep.file.rows, rows[-1])
    sweep = _choose_rows(sweep, assignments, rows)
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
        parts.append(_compose(included, beside, assignments, (*line, identity), rows))
    _require_known_rows(sweep, parts)
    joined = {
        "data": _join_data(sweep, parts),
        "tables": _union(*(part.file.tables for part in parts), _tables(sweep, directory)),
        "figures": _union(*(part.file.figures for part in parts), sweep.file.figures),
    }
    return Sweep(sweep.file.model_copy(update=joined), source, tuple(parts), sweep.groups)


def _choose_rows(sweep: Sweep, assignments: _Assignments, rows: Sequence[str]) -> Sweep:
    """Return the sweep with the chosen groups, and without its own rows if they aren't chosen.

    Of ``rows``, the first that this sweep knows counts. A sweep without groups keeps its rows.
    """
    file = sweep.file
    if not file.groups:
        return sweep
    groups = {name: check_sweep(_group_source(sweep, name)) for name in file.groups}
    chosen = next(word for word in rows if word in (OWN_ROWS, ALL_ROWS, *groups))
    if chosen not in (OWN_ROWS, ALL_ROWS):
        file = file.model_copy(update={"pretrain": (), "evaluate": ()})
    wanted = {name: group.source for name, group in groups.items() if chosen in (name, ALL_ROWS)}
    assignments.take_for_groups(wanted, groups)
    laid_over = (check_sweep(assignments.lay_over(source, is_part=True)) for source in wanted.values())
    return Sweep(file, sweep.source, groups=tuple(laid_over))


def _require_group(source: Source, assignment: str) -> None:
    """Refuse an assignment to a group that the sweep doesn't have."""
    first, name, *_ = [*assignment.partition("=")[0].split("."), ""]
    known = source.data.get("groups") if isinstance(source.data, dict) else None
    if first == "groups" and isinstance(known, dict) and name not in known:
        raise InputError(f"--set {assignment}: no group {name!r}; {suggest(name, tuple(known))}")


def _group_source(sweep: Sweep, name: str) -> Source:
    """Return the document of a group, with the places of its entries in the sweep's file."""
    at = ("groups", name)
    places = {path[len(at) :]: place for path, place in sweep.source.places.items() if path[: len(at)] == at}
    return Source(sweep.source.name, {"name": sweep.name, **sweep.source.data["groups"][name]}, places)


def _require_known_rows(sweep: Sweep, parts: Sequence[Sweep]) -> None:
    """Refuse ``rows`` if it names no group of the sweep and the sweeps that it includes."""
    word, groups = sweep.file.rows, list(_group_names((sweep, *parts)))
    if word is None or (groups and word in (OWN_ROWS, ALL_ROWS, *groups)):
        return
    where = sweep.where("rows")
    if not groups:
        raise InputError(
            f"{where}: rows: {sweep.name} has no groups of rows to choose from, nor has a sweep that it includes; "
            "leave rows out"
        )
    raise InputError(f"{where}: rows: no group {word!r}; {suggest(word, (OWN_ROWS, *dict.fromkeys(groups), ALL_ROWS))}")


def _group_names(sweeps: Iterable[Sweep]) -> Iterator[str]:
    for sweep in sweeps:
        yield from sweep.file.groups
        yield from _group_names(sweep.parts)


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

"""Applies ``--set a.b=c`` assignments to a sweep's unchecked data."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench.sweep.errors import INPUT_ERRORS, InputError
from bench.sweep.file import ALIASES
from bench.sweep.source import KeyPath, Source, parse_value
from pretrain.errors import shorten
from pretrain.yaml_reader import DEEPEST


def apply_overrides(source: Source, assignments: Iterable[str], option: str = "--set") -> Source:
    """Apply ``path=value`` assignments to a copy of a document, in order.

    A path names keys separated by dots: ``pretrain.0.epochs`` (the first entry), ``pretrain.*.seed`` (every
    entry), ``evaluate.linear.epochs`` (the entries called linear). The value is YAML.

    Raises
    ------
    InputError
        A text isn't an assignment, or its path doesn't exist in the document.
    """
    data = copy.deepcopy(source.data)
    places = dict(source.places)
    for assignment in assignments:
        origin = f"{option} {shorten(assignment)}"
        key, equals, text = assignment.partition("=")
        if not equals or not all(key.split(".")):
            raise InputError(f"{origin}: not an assignment; write {option} key=value")
        if key.count(".") > DEEPEST:
            raise InputError(f"{shorten(origin)}: names more than {DEEPEST} keys")
        for path in _assign(data, key.split("."), parse_value(text, origin), (), origin):
            for below in [place for place in places if place[: len(path)] == path]:
                del places[below]
            places[path] = origin
    return Source(source.name, data, places)


def split_assignments(assignments: Iterable[str], option: str = "--set") -> dict[str, Any]:
    """Convert assignments to options: ``["epochs=3"]`` → ``{"epochs": 3}``; dots give nested mappings.

    Raises
    ------
    InputError
        A text isn't an assignment.
    """
    return dict(apply_overrides(Source(option, {}, {}), assignments, option).data)


@contextmanager
def naming_assignments(assignments: Sequence[str], option: str = "--set") -> Iterator[None]:
    """Prefix the block's input error with the assignment, as typed, whose setting the error names.

    Raises
    ------
    InputError
        The block raised an input error.
    """
    try:
        yield
    except INPUT_ERRORS as error:
        # Some messages begin with the setting, such as `epochs: …`; others quote it.
        setting = (getattr(error, "key", ()) or (str(error).partition(":")[0].partition(".")[0],))[0]
        for assignment in reversed(assignments):
            name = assignment.partition("=")[0].partition(".")[0]
            if ALIASES.get(name, name) == setting or f" {name!r} " in str(error).partition(";")[0]:
                raise InputError(f"{option} {shorten(assignment)}: {error}") from error
        raise


def _assign(container: Any, keys: list[str], value: Any, path: KeyPath, origin: str) -> list[KeyPath]:
    """Set ``value`` below ``container`` and return the paths that changed."""
    key, rest = keys[0], keys[1:]
    at = ".".join(map(str, path)) or "the sweep"
    if isinstance(container, dict):
        if not rest:
            container[key] = value
            return [(*path, key)]
        created: list[KeyPath] = []
        if container.get(key) is None:
            container[key] = {}
            created = [(*path, key)]
        return created + _assign(container[key], rest, value, (*path, key), origin)
    if not isinstance(container, list):
        raise InputError(f"{origin}: {at} is the value {container!r} and has no keys")
    changed: list[KeyPath] = []
    for position in _select(container, key, at, origin):
        if not rest:
            container[position] = value
            changed.append((*path, position))
            continue
        remaining = rest
        if not _is_position(key):
            # Turn the entry `linear` into `linear: {…}`, which can hold options.
            if not isinstance(container[position], dict):
                container[position] = {key: {}}
            remaining = [key, *rest]
        changed += _assign(container[position], remaining, value, (*path, position), origin)
    return changed


def _select(items: list[Any], key: str, at: str, origin: str) -> list[int]:
    """The positions that ``key`` selects: a number selects one, ``*`` all, a name the entries with that name."""
    if key == "*":
        chosen = list(range(len(items)))
    elif key.isdecimal():
        chosen = [int(key)] if len(key) <= 9 and int(key) < len(items) else []
    else:
        chosen = [position for position, item in enumerate(items) if _name(item) == key]
    if not chosen:
        names = sorted({name for item in items if (name := _name(item))})
        known = [*map(str, range(len(items))), *names, "*"]
        raise InputError(f"{origin}: {at} has no entry {key!r}; allowed: {', '.join(known)}")
    return chosen


def _name(item: Any) -> str | None:
    """The name of an entry: ``linear`` for both ``linear`` and ``{linear: {…}}``; None for other entries."""
    if isinstance(item, str):
        return item
    return str(next(iter(item))) if isinstance(item, dict) and len(item) == 1 else None


def _is_position(key: str) -> bool:
    return key == "*" or key.isdecimal()

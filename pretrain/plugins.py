"""Finding a module by name: in a package of this repository, or under an entry point group.

Methods, backbones, datasets, evaluators and checkpoint formats are all found this way, so that a third party adds one
without touching this repository, and so that listing them imports none of them.

A name belongs to one module: a plugin that takes a shipped name, and two distributions that offer one name, are refused
when that name is used. A plugin that can't be imported, or lacks what its kind must offer, is refused likewise.
Whatever does not use the name goes on.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
import traceback
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pretrain.errors import InputError

NOT_PLUGINS = {"interface", "lookup"}
Offers = Mapping[str, type | None]
"""What a kind of module must offer: attribute → its type, None for a function; ``Config`` is a subclass of its type."""


@functools.cache
def shipped_names(package: str) -> frozenset[str]:
    """Names of the modules of this repository in ``package``, e.g. ``pretrain.methods``."""
    return frozenset(
        module.name
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__)
        if not module.name.startswith("_") and not module.ispkg and module.name not in NOT_PLUGINS
    )


@functools.cache
def plugin_names(package: str) -> tuple[str, ...]:
    """Names available in ``package``, e.g. ``pretrain.methods``, and its entry point group, sorted.

    The group of ``pretrain.methods`` is ``opera_bench.methods``; that of ``evaluators`` is ``opera_bench.evaluators``.
    """
    return tuple(sorted(shipped_names(package) | {point.name for point in plugin_entry_points(_group(package))}))


@functools.cache
def plugin_entry_points(group: str) -> tuple[EntryPoint, ...]:
    """Entry points of other distributions. Cached: looking for them reads every installed package."""
    return tuple(sorted(entry_points(group=group), key=lambda point: (point.name, title_of(point.dist))))


def plugin_distribution(package: str, name: str) -> Distribution | None:
    """The distribution that offers ``name``; None for a shipped module and for a name that nothing has.

    Raises
    ------
    InputError
        The name is offered more than once.
    """
    if name in shipped_names(package):
        return None
    points = _points(package, name)
    return points[0].dist if points else None


def load_plugin(package: str, name: str, kind: str, offers: Offers) -> ModuleType:
    """Import the module called ``name``.

    Raises
    ------
    InputError
        No such name: the message lists what there is and the nearest match. Or a plugin that can't be used: the message
        names its distribution and file.
    """
    names = plugin_names(package)
    if name not in names:
        raise InputError(f"unknown {kind} {name!r}; {suggest(name, names)}")
    points = _points(package, name, kind)
    if not points:
        return importlib.import_module(f"{package}.{name}")
    try:
        return _load(points[0], tuple(offers.items()))
    except InputError as error:
        raise InputError(f"{kind} {name!r} of {title_of(points[0].dist)} can't be used: {error}") from error


def usable_plugins(package: str, kind: str, offers: Offers) -> Iterator[tuple[str, ModuleType]]:
    """Every module that can be imported, by name; those that can't are left to whoever asks for them."""
    for name in plugin_names(package):
        try:
            yield name, load_plugin(package, name, kind, offers)
        except InputError:
            continue


def refused_plugins(package: str, kind: str, offers: Offers) -> list[str]:
    """A sentence for each name of the entry point group that can't be used."""
    sentences = []
    for name in sorted({point.name for point in plugin_entry_points(_group(package))}):
        try:
            load_plugin(package, name, kind, offers)
        except InputError as error:
            sentences.append(str(error))
    return sentences


def title_of(distribution: Distribution | None) -> str:
    """``shapes-ssl 0.0.1``; where it lies, of one without a name."""
    version = _metadata(distribution, "Version") or "without a version"
    if name := _metadata(distribution, "Name"):
        return f"{name} {version}"
    where = "" if distribution is None else f" in {distribution.locate_file('')}"
    return f"a distribution without a name{where}, {version}"


def distribution_name(distribution: Distribution) -> str:
    """The name by which runs refer to a distribution.

    Raises
    ------
    InputError
        Its metadata has none, so that no run could name it.
    """
    if name := _metadata(distribution, "Name"):
        return name
    raise InputError(
        f"{title_of(distribution)}, offers plugins, and its METADATA has no Name, by which a record could name it; "
        "give its project a name and install it again"
    )


def distribution_version(distribution: Distribution) -> str:
    """``0.0.1``, or ``None`` for a distribution whose metadata has no version."""
    return str(_metadata(distribution, "Version"))


def _metadata(distribution: Distribution | None, field: str) -> str | None:
    try:
        found: Any = {} if distribution is None else distribution.metadata
        return found.get(field)  # type: ignore[no-any-return] # the text of a mail header
    except (TypeError, AttributeError, OSError, UnicodeDecodeError):  # there is no METADATA, or it can't be read
        return None


def suggest(word: str, allowed: tuple[str, ...] | list[str]) -> str:
    """``did you mean 'opera'? allowed: moco_v3, opera`` for a misspelt word."""
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(allowed)}"


def first_line(error: BaseException) -> str:
    """``ImportError: No module named 'x'``: an error of somebody else's code in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _points(package: str, name: str, kind: str = "plugin") -> list[EntryPoint]:
    """The entry point called ``name``, if any; refuses a name that has a second owner."""
    points = [point for point in plugin_entry_points(_group(package)) if point.name == name]
    offered = " and ".join(f"{title_of(point.dist)} ({point.value})" for point in points)
    if points and name in shipped_names(package):
        raise InputError(
            f"{kind} {name!r} is shipped with opera-bench, and {offered} offers another one of that name; "
            "rename its entry point or uninstall it"
        )
    for point in points:
        if point.dist is not None:
            distribution_name(point.dist)
    if len(points) > 1:
        raise InputError(f"{kind} {name!r} is offered by {offered}; rename one of the two or uninstall it")
    return points


@functools.cache
def _load(point: EntryPoint, offers: tuple[tuple[str, type | None], ...]) -> ModuleType:
    try:
        module = point.load()
    except (Exception, SystemExit) as error:  # somebody else's code may raise anything
        raise InputError(f"{_file_of(error) or f'entry point {point.value}'}: {first_line(error)}") from error
    if not isinstance(module, ModuleType):
        raise InputError(f"entry point {point.value} must name a module")
    where = module.__file__ or point.value
    for attribute, expected in offers:
        value = getattr(module, attribute, None)
        if expected is None and not callable(value):
            raise InputError(f"{where}: has no function {attribute}")
        if attribute == "Config" and not (isinstance(value, type) and issubclass(value, expected or object)):
            raise InputError(f"{where}: has no class Config that derives from {expected and expected.__qualname__}")
        if expected is not None and attribute != "Config" and not isinstance(value, expected):
            raise InputError(f"{where}: has no {attribute} of type {expected.__qualname__}")
    told = getattr(getattr(module, "INFO", None), "name", point.name)
    if told != point.name:
        raise InputError(f"{where}: its INFO.name is {told!r}, its entry point is {point.name!r}; they must agree")
    return module


def _file_of(error: BaseException) -> str | None:
    """``file.py:3``: the line of a plugin that raised, or that Python can't read; None where no line of one was run."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    machinery = (str(Path(importlib.__file__).parent), "<frozen", __file__)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(machinery)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _group(package: str) -> str:
    return f"opera_bench.{package.rpartition('.')[2]}"

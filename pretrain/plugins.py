"""Finds a module by name: in a package of this repository, or under an entry point group.

Methods, backbones, datasets, evaluators and checkpoint formats are found this way. So a third party can add one
without changing this repository, and listing names imports no module.

A name belongs to one module. If a plugin has a shipped name, or two distributions offer one name, the name is refused
when it is used. So is a plugin that can't be imported or lacks an attribute of its kind. Commands that don't use the
name still work.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import pkgutil
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from pretrain.errors import InputError

Module = TypeVar("Module")
NOT_PLUGINS = {"interface", "lookup"}
Offers = Mapping[str, type | None]
"""Attributes of a kind of module → their types; None for a function; ``Config`` must be a subclass of its type."""


@functools.cache
def shipped_names(package: str) -> frozenset[str]:
    """Return the names of this repository's modules in ``package``, e.g. ``pretrain.methods``."""
    return frozenset(
        module.name
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__)
        if not module.name.startswith("_") and not module.ispkg and module.name not in NOT_PLUGINS
    )


@functools.cache
def plugin_names(package: str) -> tuple[str, ...]:
    """Return the names available in ``package``, e.g. ``pretrain.methods``, and its entry point group, sorted.

    The group of ``pretrain.methods`` is ``opera_bench.methods``; that of ``evaluators`` is ``opera_bench.evaluators``.
    """
    return tuple(sorted(shipped_names(package) | {point.name for point in plugin_entry_points(_group(package))}))


@functools.cache
def plugin_entry_points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of other distributions. Cached, because the search reads every installed package."""
    return tuple(sorted(entry_points(group=group), key=lambda point: (point.name, title_of(point.dist))))


@dataclass(frozen=True)
class PluginKind(Generic[Module]):
    """A kind of module that is found by name, such as methods.

    Parameters
    ----------
    package, word
        The package of the shipped modules, and the kind's name in messages: ``pretrain.methods``, ``method``.
    offers
        Attributes that every module has.
    """

    package: str
    word: str
    offers: Offers

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        return plugin_names(self.package)

    def find(self, name: str) -> Module:
        """Import the module called ``name``.

        Raises
        ------
        InputError
            The name is unknown (the message lists the allowed names and the nearest match), or the plugin can't be used
            (the message names its distribution and file).
        """
        names = self.names()
        if name not in names:
            raise InputError(f"unknown {self.word} {name!r}; {suggest(name, names)}")
        points = _points(self.package, name, self.word)
        if not points:
            return cast(Module, importlib.import_module(f"{self.package}.{name}"))
        try:
            return cast(Module, _load(points[0], tuple(self.offers.items())))
        except InputError as error:
            raise InputError(f"{self.word} {name!r} of {title_of(points[0].dist)} can't be used: {error}") from error

    def usable(self) -> Iterator[tuple[str, Module]]:
        """Yield every name and module that can be imported; skip the others, which ``find`` reports."""
        for name in self.names():
            with contextlib.suppress(InputError):
                yield name, self.find(name)

    def refusals(self) -> list[str]:
        """Return a sentence for each name of the entry point group that can't be used."""
        sentences = []
        for name in sorted({point.name for point in plugin_entry_points(_group(self.package))}):
            try:
                self.find(name)
            except InputError as error:
                sentences.append(str(error))
        return sentences

    def distribution(self, name: str) -> Distribution | None:
        """Return the distribution that offers ``name``; None for a shipped module or an unknown name.

        Raises
        ------
        InputError
            The name is offered more than once.
        """
        if name in shipped_names(self.package):
            return None
        points = _points(self.package, name)
        return points[0].dist if points else None


def title_of(distribution: Distribution | None) -> str:
    """Return name and version, e.g. ``shapes-ssl 0.0.1``; for a distribution without a name, its location."""
    version = _metadata(distribution, "Version") or "without a version"
    if name := _metadata(distribution, "Name"):
        return f"{name} {version}"
    where = "" if distribution is None else f" in {distribution.locate_file('')}"
    return f"a distribution without a name{where}, {version}"


def distribution_name(distribution: Distribution) -> str:
    """Return the name by which runs refer to a distribution.

    Raises
    ------
    InputError
        The metadata has no name, so runs could not refer to it.
    """
    if name := _metadata(distribution, "Name"):
        return name
    raise InputError(
        f"{title_of(distribution)} offers plugins, but its METADATA has no Name to record; "
        "give its project a name and install it again"
    )


def distribution_version(distribution: Distribution) -> str:
    """Return the version, e.g. ``0.0.1``, or the text ``None`` if the metadata has none."""
    return str(_metadata(distribution, "Version"))


def _metadata(distribution: Distribution | None, field: str) -> str | None:
    try:
        found: Any = {} if distribution is None else distribution.metadata
        return found.get(field)  # type: ignore[no-any-return] # the text of a mail header
    except (TypeError, AttributeError, OSError, UnicodeDecodeError):  # METADATA is missing or can't be read
        return None


def suggest(word: str, allowed: tuple[str, ...] | list[str]) -> str:
    """Return a hint for a misspelt word: ``did you mean 'opera'? allowed: moco_v3, opera``."""
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(allowed)}"


def first_line(error: BaseException) -> str:
    """Return an error of other people's code in one line, e.g. ``ImportError: No module named 'x'``."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _points(package: str, name: str, kind: str = "plugin") -> list[EntryPoint]:
    """Return the entry points called ``name``, one or none; refuse a name with two owners."""
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
    except (Exception, SystemExit) as error:  # code of another distribution may raise anything
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
    name = getattr(getattr(module, "INFO", None), "name", point.name)
    if name != point.name:
        raise InputError(f"{where}: its INFO.name is {name!r}, its entry point is {point.name!r}; they must agree")
    return module


def _file_of(error: BaseException) -> str | None:
    """Return the plugin's line that raised or can't be parsed, e.g. ``file.py:3``; None if no line of it was run."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    machinery = (str(Path(importlib.__file__).parent), "<frozen", __file__)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(machinery)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _group(package: str) -> str:
    return f"opera_bench.{package.rpartition('.')[2]}"

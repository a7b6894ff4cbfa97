"""Finding a module by name: in a package of this repository, or under an entry point group.

Methods, backbones, datasets and evaluators are all found this way, so that a third party adds one without
touching this repository, and so that listing them imports none of them.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from pretrain.errors import InputError

NOT_PLUGINS = {"interface", "lookup"}


@functools.cache
def plugin_names(package: str) -> tuple[str, ...]:
    """Names available in ``package``, e.g. ``pretrain.methods``, and its entry point group, sorted.

    The group of ``pretrain.methods`` is ``opera_bench.methods``; that of ``evaluators`` is ``opera_bench.evaluators``.
    """
    shipped = {
        module.name
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__)
        if not module.name.startswith("_") and not module.ispkg and module.name not in NOT_PLUGINS
    }
    return tuple(sorted(shipped | plugin_entry_points(_group(package)).keys()))


@functools.cache
def plugin_entry_points(group: str) -> dict[str, EntryPoint]:
    """Entry points of other distributions by name. Cached: looking for them reads every installed package."""
    return {point.name: point for point in entry_points(group=group)}


def load_plugin(package: str, name: str, kind: str) -> ModuleType:
    """Import the module called ``name``.

    Raises
    ------
    InputError
        No such name; the message lists what there is and the nearest match.
    """
    names = plugin_names(package)
    if name not in names:
        raise InputError(f"unknown {kind} {name!r}; {suggest(name, names)}")
    if point := plugin_entry_points(_group(package)).get(name):
        loaded = point.load()
        if not isinstance(loaded, ModuleType):
            raise InputError(f"{kind} {name!r}: entry point {point.value} must name a module")
        return loaded
    return importlib.import_module(f"{package}.{name}")


def suggest(word: str, allowed: tuple[str, ...] | list[str]) -> str:
    """``did you mean 'opera'? allowed: moco_v3, opera`` for a misspelt word."""
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(allowed)}"


def _group(package: str) -> str:
    return f"opera_bench.{package.rpartition('.')[2]}"

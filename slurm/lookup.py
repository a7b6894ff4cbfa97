"""Executors by name: modules of ``slurm.executors``, and classes that installed distributions register.

The entry point group is ``opera_bench.executors``. Each entry point names a class that behaves like
``slurm.job.Executor`` and is called without arguments. If two distributions, or one and this package, use the same
name, that name is refused when it is used.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from slurm import executors
from slurm.errors import InputError
from slurm.job import Executor

GROUP = "opera_bench.executors"


@functools.cache
def executor_names() -> tuple[str, ...]:
    """Return the sorted names of all executors, without importing any."""
    return tuple(sorted({*_shipped(), *(point.name for point in _offered())}))


def find_executor(name: str) -> Callable[..., Executor]:
    """Return the executor class called ``name``; each class has its own constructor arguments.

    Raises
    ------
    InputError
        The name is unknown (the message lists the allowed names and the nearest match), has two owners, or belongs to a
        class that can't be imported.
    """
    names = executor_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"unknown executor {name!r}; {hint}allowed: {', '.join(names)}")
    points = [point for point in _offered() if point.name == name]
    owners = " and ".join(map(_owner, points))
    if points and name in _shipped():
        raise InputError(
            f"executor {name!r} is shipped with opera-bench, and {owners} offers another one of that name; "
            "rename it there or uninstall it"
        )
    if len(points) > 1:
        raise InputError(f"executor {name!r} is offered by {owners}; rename one of the two or uninstall it")
    if points:
        return _load(points[0])
    return cast(Callable[..., Executor], importlib.import_module(f"slurm.executors.{name}").EXECUTOR)


def _load(point: EntryPoint) -> Callable[..., Executor]:
    try:
        found = point.load()
    except (Exception, SystemExit) as error:  # code of another distribution may raise anything
        said = str(error).strip().splitlines() or [""]
        fault = f"{type(error).__name__}: {said[0]}"
        raise InputError(f"executor {point.name!r} of {_owner(point)} can't be used: {fault}") from error
    lacking = [word for word in ("submit", "wait", "states", "cancel") if not callable(getattr(found, word, None))]
    if lacking:
        raise InputError(f"executor {point.name!r} of {_owner(point)} can't be used: it has no {', '.join(lacking)}")
    return cast(Callable[..., Executor], found)


def _owner(point: EntryPoint) -> str:
    metadata = None if point.dist is None else point.dist.metadata
    name = None if metadata is None else metadata["Name"]
    return f"{name or 'a distribution without a name'} ({point.value})"


@functools.cache
def _shipped() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(executors.__path__))


@functools.cache
def _offered() -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)))

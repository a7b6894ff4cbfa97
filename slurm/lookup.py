"""Executors by name: modules of ``slurm.executors``, and classes that installed distributions register.

The entry point group is ``opera_bench.executors``. Each entry point names a subclass of ``slurm.job.Executor``. If two
distributions, or one and this package, use the same name, that name is refused when it is used.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import pkgutil
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from slurm import executors
from slurm.errors import InputError, suggest
from slurm.job import Executor

GROUP = "opera_bench.executors"


@functools.cache
def executor_names() -> tuple[str, ...]:
    """Return the sorted names of all executors, without importing any."""
    return tuple(sorted({*_shipped(), *(point.name for point in _offered())}))


def find_executor(name: str) -> type[Executor]:
    """Return the executor class called ``name``.

    Raises
    ------
    InputError
        The name is unknown (the message lists the allowed names and the nearest match), has two owners, or belongs to a
        class that can't be imported or lacks a method.
    """
    if name not in executor_names():
        raise InputError(f"unknown executor {name!r}; {suggest(name, executor_names())}")
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
    found: type[Executor] = importlib.import_module(f"slurm.executors.{name}").EXECUTOR
    return found


def usable_executors() -> Iterator[tuple[str, type[Executor]]]:
    """Yield all executors with their names, the shipped ones first, without those that ``find_executor`` refuses."""
    for name in sorted(executor_names(), key=lambda name: (name not in _shipped(), name)):
        with contextlib.suppress(InputError):
            yield name, find_executor(name)


def cluster_executor(cluster: object = None) -> str:
    """Return the name of the executor that ``cluster:`` and ``--cluster`` are for if no ``--executor`` is given.

    If several executors take clusters, returns the one that has a profile of the name ``cluster``, else a shipped one.
    """
    found = {name: executor.Options for name, executor in usable_executors() if executor.Options.takes_cluster}
    return next((name for name, options in found.items() if cluster in options.profile_names()), next(iter(found)))


def preview_formats() -> dict[str, str]:
    """Return format → name of the executor whose ``preview`` has it."""
    return {executor.preview_format: name for name, executor in usable_executors() if executor.preview_format}


def refused_executors() -> list[str]:
    """Return a sentence for each executor of another distribution that can't be used."""
    sentences = []
    for name in sorted({point.name for point in _offered()}):
        try:
            find_executor(name)
        except InputError as error:
            sentences.append(str(error))
    return sentences


def executor_folder(name: str, directory: Path) -> Path:
    """Return the folder in which the executor called ``name`` keeps files about the jobs of a runs directory."""
    return directory / f".{name}"


def names_in(directory: Path) -> tuple[str, ...]:
    """Return the names of the executors that have left files in a runs directory."""
    return tuple(name for name in executor_names() if executor_folder(name, directory).is_dir())


def open_executors(directory: Path) -> list[Executor]:
    """Return the executors that know jobs submitted from a runs directory.

    Raises
    ------
    InputError
        Such an executor can't be used.
    """
    found = (find_executor(name).open(executor_folder(name, directory)) for name in names_in(directory))
    return [executor for executor in found if executor is not None]


def _load(point: EntryPoint) -> type[Executor]:
    refusal = f"executor {point.name!r} of {_owner(point)} can't be used"
    try:
        found = point.load()
    except (Exception, SystemExit) as error:  # code of another distribution may raise anything
        lines = str(error).strip().splitlines() or [""]
        raise InputError(f"{refusal}: {type(error).__name__}: {lines[0]}") from error
    if not (isinstance(found, type) and issubclass(found, Executor)):
        raise InputError(f"{refusal}: it is no subclass of slurm.job.Executor")
    needed = {"open", "states"} if found.returns_at_once else set()
    lacking = found.__abstractmethods__ | {word for word in needed if word not in _own_methods(found)}
    if lacking:
        raise InputError(f"{refusal}: it has no {', '.join(sorted(lacking))}")
    return found


def _own_methods(found: type[Executor]) -> set[str]:
    """Return the names that ``found`` or a class between it and ``Executor`` defines."""
    return {
        name for each in found.__mro__ if issubclass(each, Executor) and each is not Executor for name in vars(each)
    }


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

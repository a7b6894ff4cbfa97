"""Executors by name."""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import cast

from slurm.errors import InputError
from slurm.job import Executor

NOT_EXECUTORS = {"errors", "graph", "job", "lookup", "stop"}


@functools.cache
def executor_names() -> tuple[str, ...]:
    """Names of the modules of this package that hold an executor, sorted; none of them is imported."""
    found = pkgutil.iter_modules(importlib.import_module("slurm").__path__)
    return tuple(sorted(m.name for m in found if not (m.ispkg or m.name.startswith("_") or m.name in NOT_EXECUTORS)))


def find_executor(name: str) -> Callable[..., Executor]:
    """The executor class called ``name``; its constructor takes what that executor needs.

    Raises
    ------
    InputError
        No such name; the message lists what there is and the nearest match.
    """
    names = executor_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"unknown executor {name!r}; {hint}allowed: {', '.join(names)}")
    module = importlib.import_module(f"slurm.{name}")
    return cast(Callable[..., Executor], getattr(module, f"{name.capitalize()}Executor"))

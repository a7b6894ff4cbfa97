"""Runs on disk by what a user calls them."""

from __future__ import annotations

from pathlib import Path

from bench.errors import InputError
from pretrain.plugins import suggest
from results.runs import RunDirectory


def find_run(directory: Path, name: str) -> RunDirectory:
    """The one run whose id is ``name``, or begins or ends with it.

    Raises
    ------
    InputError
        No such run, or several.
    """
    ids = sorted(path.parent.name for path in directory.glob("*/config.yaml"))
    found = [name] if name in ids else [i for i in ids if i.startswith(name) or i.endswith(name)]
    if len(found) == 1:
        return RunDirectory(directory / found[0])
    if found:
        raise InputError(f"{name!r} is the beginning or end of several runs: {', '.join(found)}")
    hint = suggest(name, ids) if ids else "there are no runs"
    raise InputError(f"no run {name!r} in {directory}; {hint}")

"""Finds a run on disk by its id or the beginning or end of its id."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from bench.sweep.errors import InputError
from pretrain.plugins import suggest
from results.runs import RunDirectory
from results.store import has_run_files, read_run, run_names

_LISTED = 10
_NEAREST = 3


def find_run(directory: Path, name: str, stages: Sequence[str] = ()) -> RunDirectory:
    """The one run whose id is ``name``, or begins or ends with it.

    Parameters
    ----------
    stages
        Stages of runs that the error message suggests; empty for all.

    Raises
    ------
    InputError
        No such run, or several.
    """
    ids = _run_ids(directory) if directory.is_dir() else []
    found = [name] if name in ids else [i for i in ids if i.startswith(name) or i.endswith(name)]
    if len(found) == 1:
        return RunDirectory(directory / found[0])
    if found:
        more = f", … ({len(found)} in all)" if len(found) > _LISTED else ""
        raise InputError(f"{name!r} is the beginning or end of several runs: {', '.join(found[:_LISTED])}{more}")
    usable = [i for i in ids if i.startswith(tuple(f"{stage}-" for stage in stages))] if stages else ids
    kinds = f"{' or '.join(stages)} " if stages else ""
    raise InputError(f"no {kinds}run {name!r} in {directory}; {_hint(name, usable)}")


def _run_ids(directory: Path) -> list[str]:
    """Names of all run directories, and of other directories that hold a run's files."""
    runs = (RunDirectory(directory / name) for name in run_names(directory))
    return [run.run_id for run in runs if has_run_files(run) or read_run(run, []) is not None]


def _hint(name: str, ids: list[str]) -> str:
    if not ids:
        return "there are none"
    if len(ids) <= _LISTED:
        return suggest(name, ids)
    near = difflib.get_close_matches(name, ids, n=_NEAREST, cutoff=0.5)
    return (f"did you mean {' or '.join(map(repr, near))}? " if near else "") + f"there are {len(ids)}"

"""Finds the directories of datasets that a sweep or a command names. Reads no data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.sweep.errors import InputError
from bench.sweep.source import VARIABLE
from pretrain.datasets import reads_info


def find_root(name: str, text: str, where: str) -> Path:
    """Return the absolute directory of a dataset.

    Raises
    ------
    InputError
        An environment variable in ``text`` is not set, or the directory is missing or empty; the message begins with
        ``where``, the document that names it.
    """
    if unset := VARIABLE.search(text):
        raise InputError(f"{where}: data: {name}: environment variable {unset[1]} is not set")
    root = Path(text).expanduser().absolute()
    if not root.is_dir():
        raise InputError(f"{where}: data: {name}: {root} is not a directory")
    if not any(root.iterdir()):
        raise InputError(f"{where}: data: {name}: {root} is empty")
    return root


def planning_roots(data: Mapping[str, str], where: str) -> dict[str, Path]:
    """Return the directories that a plan reads: those of datasets whose classes and version come from their files."""
    return {name: find_root(name, text, where) for name, text in data.items() if reads_info(name)}

"""Reads a sweep file and checks its keys, types and names. Doesn't import torch."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from bench.sweep.errors import InputError
from bench.sweep.file import IMPORT_TAG, PRETRAIN_TAG, Group, ImportDeclaration, ImportEntry, SweepFile
from bench.sweep.model import Sweep
from bench.sweep.source import KeyPath, Source, load_yaml, parse_yaml
from pretrain.datasets import module_name
from pretrain.plugins import plugin_names, suggest
from results.declarations import is_path, table_names
from results.figures import figure_names

_KEY_TAG = "[key]"
"""Tag in the locations of pydantic's errors: the mapping's key is wrong, and not its value."""


def shipped_sweeps() -> tuple[str, ...]:
    """Names of the shipped sweeps, sorted."""
    found = files("bench").joinpath("sweep", "shipped").iterdir()
    return tuple(sorted(item.name.removesuffix(".yaml") for item in found if item.name.endswith(".yaml")))


def read_sweep(name_or_path: str, beside: Path = Path()) -> tuple[Source, Path]:
    """The document of a sweep, and the directory to which its paths are relative.

    Raises
    ------
    InputError
        No such sweep, or the file isn't YAML.
    """
    path = beside / name_or_path
    _refuse_long_name(path, name_or_path)
    if path.suffix in (".yaml", ".yml") or os.path.isfile(path):  # noqa: PTH113 (takes names of any length and NUL)
        if not os.path.lexists(path):
            raise InputError(f"{name_or_path}: no such sweep file")
        return load_yaml(path), path.parent
    if name_or_path in shipped_sweeps():
        text = files("bench").joinpath("sweep", "shipped", f"{name_or_path}.yaml").read_text(encoding="utf-8")
        return parse_yaml(text, f"{name_or_path}.yaml"), beside
    known = suggest(name_or_path, shipped_sweeps())
    raise InputError(f"no sweep {name_or_path!r}: neither a YAML file nor a shipped sweep; {known}")


def _refuse_long_name(path: Path, typed: str) -> None:
    try:
        os.lstat(path)
    except ValueError:
        return
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{typed}: can't be read ({error.strerror})") from error


def check_sweep(source: Source) -> Sweep:
    """Check a document's keys, types, and names of datasets, methods, evaluators, tables and figures."""
    if not isinstance(source.data, dict):
        raise InputError(f"{source.name}: a sweep is a mapping; allowed: {', '.join(SweepFile.model_fields)}")
    try:
        file = SweepFile.model_validate(source.data)
    except ValidationError as error:
        raise InputError(_describe(error, source)) from error
    for path, kind, word, known in _names(file):
        if (module_name(word) if kind == "dataset" else word) not in known:
            raise InputError(f"{source.where(path)}: unknown {kind} {word!r}; {suggest(word, known)}")
    return Sweep(file, source)


def _names(file: SweepFile) -> Iterator[tuple[KeyPath, str, str, tuple[str, ...]]]:
    """Yield every name in the file as (path, kind, name, known names)."""
    for name in file.data:
        yield ("data", name), "dataset", name, plugin_names("pretrain.datasets")
    for position, entry in enumerate(file.pretrain):
        if isinstance(entry, ImportEntry):
            yield ("pretrain", position, "format"), "format", entry.format, plugin_names("pretrain.foreign")
            for key, word in (("backbone", entry.as_.backbone), ("dataset", entry.as_.dataset)):
                yield ("pretrain", position, "as", key), key, word, plugin_names(f"pretrain.{key}s")
            continue
        for key, words, package in (
            ("method", entry.method, "pretrain.methods"),
            ("backbone", entry.backbone, "pretrain.backbones"),
            ("dataset", entry.dataset, "pretrain.datasets"),
        ):
            for index, word in enumerate(words):
                yield ("pretrain", position, key, index), key, word, plugin_names(package)
    for position, asked in enumerate(file.evaluate):
        word = asked.evaluator
        yield ("evaluate", position, word), "evaluator", word, plugin_names("evaluators")
    for position, name in enumerate(file.tables):
        if is_path(name):
            continue
        yield ("tables", position), "table", name, table_names()
    for position, name in enumerate(file.figures):
        yield ("figures", position), "figure", name, figure_names()


def _describe(error: ValidationError, source: Source) -> str:
    """The first problem as one sentence with file and line."""
    # A misspelt key is reported both as unknown and as missing; prefer unknown, which suggests the right spelling.
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    path: KeyPath = tuple(part for part in first["loc"] if part not in (PRETRAIN_TAG, IMPORT_TAG, _KEY_TAG))
    what = ".".join(str(part) for part in path)
    if first["type"] == "extra_forbidden":
        word = str(path[-1])
        return f"{source.where(path)}: unknown key {word!r}; {suggest(word, _keys_beside(first['loc']))}"
    if first["type"] == "missing":
        given = first["input"].get("options", {}) if isinstance(first["input"], dict) else {}
        for word in difflib.get_close_matches(str(path[-1]), given, n=1):
            return f"{source.where((*path[:-1], word))}: unknown key {word!r}; did you mean {str(path[-1])!r}?"
        return f"{source.where(path)}: {what} is missing"
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict | list | tuple) else f", not {first['input']!r}"
    about = f"{what}: " if what else ""
    return f"{source.where(path)}: {about}{message[0].lower()}{message[1:]}{given}"


def _keys_beside(path: KeyPath) -> tuple[str, ...]:
    """The keys that are allowed where pydantic found an unknown one."""
    if IMPORT_TAG not in path:
        return tuple((SweepFile if len(path) == 1 else Group).model_fields)
    model = ImportDeclaration if "as" in path else ImportEntry
    return tuple(field.alias or name for name, field in model.model_fields.items())

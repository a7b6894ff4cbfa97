"""A sweep, read and checked: ``bench.sweep_file`` beside the source that knows every line. Imports no torch."""

from __future__ import annotations

import difflib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from bench.errors import InputError
from bench.sweep_file import IMPORT_TAG, PRETRAIN_TAG, ImportDeclaration, ImportEntry, SweepFile
from bench.yaml_source import KeyPath, Source, load_yaml, parse_yaml
from pretrain.plugins import plugin_names, suggest
from results.declarations import table_names
from results.figures import figure_names


class Sweep:
    """A checked sweep beside its source, which knows the line of every part.

    Parameters
    ----------
    file
        What the sweep says itself; its data, tables and figures are joined by those of ``parts``.
    parts
        The included sweeps.

    ``asked_as`` stands for what was typed, file, assignments and all: two sweeps may have one name. ``path`` is the
    file, None for a sweep that comes with the package.
    """

    def __init__(self, file: SweepFile, source: Source, parts: tuple[Sweep, ...] = ()) -> None:
        self.file = file
        self.source = source
        self.parts = parts
        self.asked_as = ""
        self.path: str | None = None

    @property
    def name(self) -> str:
        return self.file.name

    def where(self, *path: str | int) -> str:
        return self.source.where(path)


def shipped_sweeps() -> tuple[str, ...]:
    """Names of the sweeps that come with the package."""
    found = files("bench").joinpath("sweeps").iterdir()
    return tuple(sorted(item.name.removesuffix(".yaml") for item in found if item.name.endswith(".yaml")))


def load_sweep(name_or_path: str, overrides: tuple[str, ...] = (), *, tiny: bool = False) -> Sweep:
    """Read a sweep by path or by shipped name, with ``--set`` assignments laid over it.

    Parameters
    ----------
    tiny
        Shrink the sweep, assignments included, to digits (``bench.tiny``).

    Raises
    ------
    InputError
        No such sweep, or anything in it that can't be meant; the message names file and line.
    """
    from bench.include import compose

    sweep = compose(name_or_path, overrides)
    if tiny:
        from bench.tiny import shrink_sweep

        sweep = shrink_sweep(sweep)
    sweep.path = str(Path(name_or_path).resolve()) if os.path.isfile(name_or_path) else None  # noqa: PTH113
    typed = json.dumps([sweep.name, sweep.path, sorted(overrides), tiny])
    sweep.asked_as = hashlib.sha256(typed.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return sweep


def read_sweep(name_or_path: str, beside: Path = Path()) -> tuple[Source, Path]:
    """The document of a sweep, and the directory its own paths start from.

    Raises
    ------
    InputError
        No such sweep, or no YAML.
    """
    path = beside / name_or_path
    _refuse_long_name(path, name_or_path)
    if path.suffix in (".yaml", ".yml") or os.path.isfile(path):  # noqa: PTH113 (takes names of any length and NUL)
        if not os.path.lexists(path):
            raise InputError(f"{name_or_path}: no such sweep file")
        return load_yaml(path), path.parent
    if name_or_path in shipped_sweeps():
        text = files("bench").joinpath("sweeps", f"{name_or_path}.yaml").read_text(encoding="utf-8")
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
    """Check keys, types and every name that can be checked without resolving a run."""
    if not isinstance(source.data, dict):
        raise InputError(f"{source.name}: a sweep is a mapping; allowed: {', '.join(SweepFile.model_fields)}")
    try:
        file = SweepFile.model_validate(source.data)
    except ValidationError as error:
        raise InputError(_describe(error, source)) from error
    for path, kind, word, known in _names(file):
        if word not in known:
            raise InputError(f"{source.where(path)}: unknown {kind} {word!r}; {suggest(word, known)}")
    return Sweep(file, source)


def _names(file: SweepFile) -> Iterator[tuple[KeyPath, str, str, tuple[str, ...]]]:
    """Every name in the file: where it stands, what it names, the word, and what there is."""
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
        yield ("tables", position), "table", name, table_names()
    for position, name in enumerate(file.figures):
        yield ("figures", position), "figure", name, figure_names()


def _describe(error: ValidationError, source: Source) -> str:
    """The first problem as one sentence with its line."""
    # A misspelt key is often also a missing one; the misspelling says more.
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    path: KeyPath = tuple(part for part in first["loc"] if part not in (PRETRAIN_TAG, IMPORT_TAG))
    what = ".".join(str(part) for part in path)
    if first["type"] == "extra_forbidden":
        word = str(path[-1])
        return f"{source.where(path)}: unknown key {word!r}; {suggest(word, _keys_beside(first['loc']))}"
    if first["type"] == "missing":
        given = first["input"].get("options", {}) if isinstance(first["input"], dict) else {}
        for word in difflib.get_close_matches(str(path[-1]), given, n=1):
            return f"{source.where((*path[:2], word))}: unknown key {word!r}; did you mean {str(path[-1])!r}?"
        return f"{source.where(path)}: {what} is missing"
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict | list | tuple) else f", not {first['input']!r}"
    about = f"{what}: " if what else ""
    return f"{source.where(path)}: {about}{message[0].lower()}{message[1:]}{given}"


def _keys_beside(path: KeyPath) -> tuple[str, ...]:
    """The keys that may stand where pydantic found an unknown one."""
    if IMPORT_TAG not in path:
        return tuple(SweepFile.model_fields)
    model = ImportDeclaration if "as" in path else ImportEntry
    return tuple(field.alias or name for name, field in model.model_fields.items())

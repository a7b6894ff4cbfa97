"""What a plugin's code was: its distribution's version and a checksum of its source, as they enter a run's id."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

from pretrain.errors import InputError
from pretrain.plugins import distribution_version, title_of

OURS = {"bench", "pretrain", "evaluators", "results", "slurm"}
_CODE = ".py"
_COMPILED = {".pyc", ".pyo", ".so", ".pyd", ".dll", ".dylib", ".o", ".obj", ".a", ".lib"}
"""Suffixes of files that differ from machine to machine, and are made of sources that count."""
_FOLDERS_LEFT_OUT = {"__pycache__", "CVS"}
MOST_FILES = 20_000
MOST_BYTES = 512 << 20
"""Of all files of one distribution together: every command that plans its runs reads them."""


def describe_plugin(distribution: Distribution) -> dict[str, str]:
    """``{version, source_sha256}`` of a distribution that offers plugins.

    The version is not enough: an editable or repeated installation can change the code and keep the version.

    Raises
    ------
    InputError
        Its files can't be read, or are more than ``MOST_FILES`` or ``MOST_BYTES``.
    """
    return {"version": distribution_version(distribution), "source_sha256": _source_sha256(distribution)}


@functools.cache
def _source_sha256(distribution: Distribution) -> str:
    """SHA-256 over all files of the packages that its entry points name, and of what these import of its own or from
    source: modules that no distribution has installed."""
    digest = hashlib.sha256()
    owned = {file.parts[0].removesuffix(_CODE) for file in distribution.files or () if file.suffix == _CODE}
    points = [point for point in distribution.entry_points if point.group.startswith("opera_bench.")]
    waiting = sorted({name for point in points if (name := _importable(point.value))})
    known = set(waiting)
    count, size = 0, 0
    while waiting:
        name = waiting.pop()
        for path, relative in _files(name):
            count, size = count + 1, size + path.stat().st_size
            if count > MOST_FILES or size > MOST_BYTES:
                raise InputError(
                    f"{path.parent}: the packages of {title_of(distribution)} hold more than {MOST_FILES:,} files or "
                    f"{MOST_BYTES >> 20} MiB, all of which are part of its runs' ids; keep data outside of the package"
                )
            content = _read(path)
            digest.update(f"{relative}\0{hashlib.sha256(content).hexdigest()}\n".encode("utf-8", "surrogateescape"))
            if path.suffix != _CODE:
                continue
            found = {code for dotted in _imports(content) if (code := _importable(dotted))}
            new = {code for code in found - known if code.partition(".")[0] in owned or _is_source(code)}
            known |= new
            waiting += sorted(new)
    return digest.hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: can't be read ({error.strerror}); a plugin's files are part of its runs' ids"
        ) from error


def forget_sources() -> None:
    """Hash the code anew at the next question, as a run does that has computed for hours."""
    _source_sha256.cache_clear()


def _importable(value: str) -> str | None:
    """The first part of a dotted name that has code of its own: a namespace is shared by distributions."""
    parts = value.partition(":")[0].strip().split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        spec = _find(name)
        if spec is not None and spec.has_location:
            return name
    return None


def _find(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def _files(name: str) -> Iterator[tuple[Path, str]]:
    """The files of a package, or of a module alone, with their paths from there; in one order everywhere.

    Every file counts, whatever its name: code may read it. A module of a package without ``__init__.py`` comes with the
    files around it.
    """
    spec = _find(name)
    if spec is None or spec.origin is None:
        return
    origin = Path(spec.origin)
    package = name if spec.submodule_search_locations else name.rpartition(".")[0]
    if not package:
        yield origin, f"{name}{_CODE}"
        return
    for folder, folders, names in os.walk(origin.parent, followlinks=True):
        below = (name for name in folders if not name.startswith(".") and name not in _FOLDERS_LEFT_OUT)
        # A link to a folder above itself has no end.
        folders[:] = sorted(n for n in below if not Path(folder).resolve().is_relative_to((Path(folder) / n).resolve()))
        for file in sorted(names):
            path = Path(folder) / file
            if not file.startswith(".") and not file.endswith("~") and path.suffix not in _COMPILED and path.is_file():
                yield path, f"{package}/{path.relative_to(origin.parent)}"


def _imports(content: bytes) -> set[str]:
    """The dotted names that a module may import anywhere in its text, standard library and this suite left out."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    }
    return {name for name in names if name.partition(".")[0] not in {*OURS, *sys.stdlib_module_names}}


def _is_source(name: str) -> bool:
    """Whether a module lies where nothing is installed: in a checkout, or beside one."""
    spec = _find(name)
    if spec is None or spec.origin is None:
        return False
    home = Path(spec.origin).parents[name.count(".") + bool(spec.submodule_search_locations)]
    return not ({"site-packages", "dist-packages"} & set(home.parts) or any(home.glob("*.dist-info")))

"""Describes a plugin's code for a run's id: its distribution's version and a checksum of its source."""

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

_OWN_PACKAGES = {"bench", "pretrain", "evaluators", "results", "slurm"}
_CODE = ".py"
_COMPILED = {".pyc", ".pyo", ".so", ".pyd", ".dll", ".dylib", ".o", ".obj", ".a", ".lib"}
"""Suffixes of compiled files, which differ between machines; their sources are counted instead."""
_IGNORED_FOLDERS = {"__pycache__", "CVS"}
MOST_FILES = 20_000
MOST_BYTES = 512 << 20
"""Most bytes of all files of one distribution; every command that plans runs of it reads them."""


def describe_plugin(distribution: Distribution) -> dict[str, str]:
    """Return ``{version, source_sha256}`` of a distribution that offers plugins.

    The version is not enough: an editable installation or a reinstallation can change the code but not the version.

    Raises
    ------
    InputError
        The files can't be read, or exceed ``MOST_FILES`` or ``MOST_BYTES``.
    """
    return {"version": distribution_version(distribution), "source_sha256": _source_sha256(distribution)}


@functools.cache
def _source_sha256(distribution: Distribution) -> str:
    """Return the SHA-256 of all files of the packages that the entry points name and of modules that these import.

    Imported modules count if they belong to the distribution, or if no distribution has installed them.
    """
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
    """Clear the cached checksum, for a run that has computed for hours and hashes the code again."""
    _source_sha256.cache_clear()


def _importable(value: str) -> str | None:
    """Return the shortest prefix of a dotted name that has code; distributions may share a namespace package."""
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
    """Yield the files of a package or single module, with relative paths, in an order equal on all machines.

    Every file counts, because code may read it. A module in a folder without ``__init__.py`` includes the files around
    it.
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
        below = (name for name in folders if not name.startswith(".") and name not in _IGNORED_FOLDERS)
        # Skip a link to a parent folder, which would recurse forever.
        folders[:] = sorted(n for n in below if not Path(folder).resolve().is_relative_to((Path(folder) / n).resolve()))
        for file in sorted(names):
            path = Path(folder) / file
            if not file.startswith(".") and not file.endswith("~") and path.suffix not in _COMPILED and path.is_file():
                yield path, f"{package}/{path.relative_to(origin.parent)}"


def _imports(content: bytes) -> set[str]:
    """Return the dotted names that a module may import anywhere, except the standard library and this suite."""
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
    return {name for name in names if name.partition(".")[0] not in {*_OWN_PACKAGES, *sys.stdlib_module_names}}


def _is_source(name: str) -> bool:
    """Return whether a module is outside installed packages: in a checkout, or beside one."""
    spec = _find(name)
    if spec is None or spec.origin is None:
        return False
    home = Path(spec.origin).parents[name.count(".") + bool(spec.submodule_search_locations)]
    return not ({"site-packages", "dist-packages"} & set(home.parts) or any(home.glob("*.dist-info")))

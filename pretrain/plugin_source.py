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
from importlib.metadata import distribution as find_distribution
from pathlib import Path

OURS = {"bench", "pretrain", "evaluators", "results", "slurm"}
_CODE = ".py"
_BESIDE_CODE = {".yaml", ".yml", ".json", ".so", ".pyd"}
"""Files that decide what a module computes if they lie in a folder with modules: recipes, settings, compiled code."""


def describe_plugin(distribution: Distribution) -> dict[str, str]:
    """``{version, source_sha256}`` of a distribution that offers plugins.

    The version is not enough: an editable or repeated installation can change the code and keep the version.
    """
    return {"version": str(distribution.version), "source_sha256": _source_sha256(distribution.name)}


@functools.cache
def _source_sha256(name_of_distribution: str) -> str:
    """SHA-256 over the code of the packages that its entry points name, and of what these import of its own or from
    source: modules that no distribution has installed."""
    distribution = find_distribution(name_of_distribution)
    digest = hashlib.sha256()
    owned = {file.parts[0].removesuffix(_CODE) for file in distribution.files or () if file.suffix == _CODE}
    points = [point for point in distribution.entry_points if point.group.startswith("opera_bench.")]
    waiting = sorted({name for point in points if (name := _importable(point.value))})
    known = set(waiting)
    while waiting:
        name = waiting.pop()
        for path, relative in _files(name):
            content = path.read_bytes()
            digest.update(f"{relative}\0{hashlib.sha256(content).hexdigest()}\n".encode())
            if path.suffix != _CODE:
                continue
            found = {code for dotted in _imports(content) if (code := _importable(dotted))}
            new = {code for code in found - known if code.partition(".")[0] in owned or _is_source(code)}
            known |= new
            waiting += sorted(new)
    return digest.hexdigest()


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
    """The files of a package, or of a module alone, with their paths from there; in one order everywhere."""
    spec = _find(name)
    if spec is None or spec.origin is None:
        return
    origin = Path(spec.origin)
    if not spec.submodule_search_locations:
        yield origin, f"{name}{_CODE}"
        return
    for folder, folders, names in os.walk(origin.parent, followlinks=True):
        below = (name for name in folders if not name.startswith((".", "__pycache__")))
        # A link to a folder above itself has no end.
        folders[:] = sorted(n for n in below if not Path(folder).resolve().is_relative_to((Path(folder) / n).resolve()))
        has_code = any(file.endswith(_CODE) for file in names)
        for file in sorted(names):
            path = Path(folder) / file
            if path.is_file() and (path.suffix == _CODE or (has_code and path.suffix in _BESIDE_CODE)):
                yield path, f"{name}/{path.relative_to(origin.parent)}"


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

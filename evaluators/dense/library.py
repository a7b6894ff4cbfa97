"""Finds OpenMMLab's libraries: whether they can be imported, their versions, their configuration files.

Two families of distributions share the import names: OpenMMLab's own, which ended in 2024 (``mmsegmentation``,
``mmdet``), and the maintained ``onedl-…``. Either works, so this module looks for imports, not distributions.
"""

from __future__ import annotations

import contextlib
import importlib
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pretrain.errors import InputError

Library = Literal["mmseg", "mmdet"]

TITLES: dict[Library, str] = {"mmseg": "MMSegmentation", "mmdet": "MMDetection"}
_DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "mmengine": ("onedl-mmengine", "mmengine"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
}
MODULES = tuple(_DISTRIBUTIONS)
_ALSO_NEEDED: dict[Library, tuple[str, ...]] = {"mmseg": (), "mmdet": ("pycocotools",)}


def what_is_missing(library: Library) -> str | None:
    """Return one sentence on what to install, or None if every module can be found; imports nothing."""
    missing = [name for name in ("mmengine", "mmcv", library, *_ALSO_NEEDED[library]) if _spec(name) is None]
    if not missing:
        return None
    return (
        f"{TITLES[library]} can't run in this Python, which lacks {', '.join(missing)}: "
        f"pip install 'opera-bench[dense]', or OpenMMLab's own mmengine, mmcv and {_DISTRIBUTIONS[library][1]}"
    )


def why_unavailable(library: Library) -> str | None:
    """Return one sentence on what is missing or can't be imported, or None; imports the library as a run does."""
    if missing := what_is_missing(library):
        return missing
    try:
        register(library)
    except BaseException as error:  # an incompatible library may raise AssertionError or exit
        reason = " ".join(str(error).split())
        return (
            f"{TITLES[library]} is installed but can't be imported in this Python ({type(error).__name__}: {reason}); "
            f"installed: {', '.join(f'{name} {number}' for name, number in versions().items())}; "
            "versions that fit each other: pip install 'opera-bench[dense]'"
        )
    return None


def register(library: Library) -> Literal["compiled", "torchvision"]:
    """Import and register the parts of a library and of this suite; return the source of mmcv's operators.

    Raises
    ------
    Exception
        Anything that a library raises if its version does not fit the others.
    """
    from evaluators.dense.operators import ensure_operators

    operators = ensure_operators()
    for package in ("datasets", "evaluation", "models", "structures", "engine"):
        importlib.import_module(f"{library}.{package}")
    importlib.import_module("evaluators.dense.backbone")
    importlib.import_module(f"evaluators.dense.{library}_parts")
    return operators


def has_compiled_operators() -> bool | None:
    """Return whether mmcv has ``mmcv._ext``; None if there is no mmcv. Imports nothing."""
    spec = _spec("mmcv")
    if spec is None:
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return any((folder / f"_ext{suffix}").is_file() for folder in folders for suffix in EXTENSION_SUFFIXES)


def require(library: Library) -> None:
    """Check that a library is installed.

    Raises
    ------
    InputError
        It is not; the message says what to install.
    """
    if reason := what_is_missing(library):
        raise InputError(reason)


def versions() -> dict[str, str]:
    """Return the installed distributions and their versions, e.g. ``{"onedl-mmcv": "2.3.6"}``."""
    return dict(found for found in map(distribution, _DISTRIBUTIONS) if found is not None)


def distribution(module: str) -> tuple[str, str] | None:
    """Return name and version of the distribution that provides an import name; None if none is installed."""
    for name in _DISTRIBUTIONS[module]:
        with contextlib.suppress(PackageNotFoundError):
            return name, version(name)
    return None


def config_file(library: Library, name: str) -> Path:
    """Return the path of a configuration shipped with a library.

    Raises
    ------
    InputError
        The library is missing, or was installed without its configurations.
    """
    require(library)
    spec = _spec(library)
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / ".mim" / "configs" / name
    if not path.is_file():
        raise InputError(
            f"{path}: {TITLES[library]} is installed without its configurations; install its wheel, not in place"
        )
    return path


def _spec(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except ValueError:  # a module without a spec is in sys.modules
        return None

"""OpenMMLab's libraries: whether they are there, which ones, and their own configuration files. Imports none of them.

Two lines of distributions carry the same import names. OpenMMLab's own ended in 2024 (``mmsegmentation``,
``mmdet``); the maintained one is called ``onedl-…``. Either will do, so imports are looked for and not names.
"""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pretrain.errors import InputError

Library = Literal["mmseg", "mmdet"]

TITLES: dict[Library, str] = {"mmseg": "MMSegmentation", "mmdet": "MMDetection"}
_DISTRIBUTIONS = {
    "mmengine": ("onedl-mmengine", "mmengine"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
}
_ALSO_NEEDED: dict[Library, tuple[str, ...]] = {"mmseg": (), "mmdet": ("pycocotools",)}


def why_unavailable(library: Library) -> str | None:
    """One sentence on what to install, or None where everything is there."""
    missing = [name for name in ("mmengine", "mmcv", library, *_ALSO_NEEDED[library]) if _spec(name) is None]
    if not missing:
        return None
    return (
        f"{TITLES[library]} can't run in this Python, which lacks {', '.join(missing)}: "
        f"pip install 'opera-bench[dense]', or OpenMMLab's own mmengine, mmcv and {_DISTRIBUTIONS[library][1]}"
    )


def require(library: Library) -> None:
    """
    Raises
    ------
    InputError
        Not installed; the message says what to install.
    """
    if reason := why_unavailable(library):
        raise InputError(reason)


def versions() -> dict[str, str]:
    """Distribution → version of what is installed under the import names, e.g. ``{"onedl-mmcv": "2.3.6"}``."""
    found = {}
    for candidates in _DISTRIBUTIONS.values():
        for name in candidates:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
            break
    return found


def config_file(library: Library, name: str) -> Path:
    """One of the configurations a library ships.

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
    except ValueError:  # a module that something put into sys.modules without a spec
        return None

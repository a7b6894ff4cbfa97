"""A user's own images as a dataset: the functions that the modules ``folder`` and ``tiny_folder`` offer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pretrain.datasets._checks import check_images
from pretrain.datasets._own_images import VAL_SHARE, ClassImages, OwnImages
from pretrain.datasets.interface import DatasetInfo, LabelledImages, joint_fingerprint
from pretrain.errors import InputError

_VERSION = re.compile(r"(\d+) classes, (\d+) train, (\d+) val, [0-9a-f]{64}")
_NAMED = 5
"""Classes and files that a description names."""
_MEASURED_IMAGES = 200


@dataclass(frozen=True)
class OwnDataset:
    """The functions of a dataset of own images.

    Parameters
    ----------
    read
        Reads the directory.
    sample
        What part of the directory is taken, in one line for ``describe``; empty for all of it.
    """

    info: DatasetInfo
    read: Callable[[Path], OwnImages]
    sample: str = ""

    def open_split(self, root: Path | None, split: str) -> ClassImages:
        return self._read(root).open(split)

    def read_info(self, splits: Mapping[str, LabelledImages]) -> DatasetInfo:
        """Return the facts with the version, number of classes and sizes of these splits."""
        train, val = splits["train"], splits["val"]
        counts = f"{train.num_classes} classes, {len(train)} train, {len(val)} val"
        return self.info_of_version(f"{counts}, {joint_fingerprint(splits)}")

    def info_of_version(self, version: str) -> DatasetInfo:
        """Return the facts with a version that ``read_info`` made, and the counts in it."""
        found = _VERSION.fullmatch(version)
        if found is None:
            raise InputError(f"dataset {self.info.name}: {version!r} is no version of own images")
        classes, train, val = map(int, found.groups())
        return replace(self.info, version=version, num_classes=classes, sizes={"train": train, "val": val})

    def check(self, root: Path | None) -> list[str]:
        """Return the faults of the layout, or else of the images: each header is read, and a sample decoded."""
        try:
            own = self._read(root)
        except InputError as error:
            return [str(error)]
        splits = {split: own.open(split) for split in own.splits}
        info = self.read_info(splits)
        return [problem for split, images in splits.items() for problem in check_images(info, split, images)]

    def prepare(self, root: Path | None) -> None:
        """Raise an InputError unless the data can be used: nothing can be downloaded."""
        if problems := self.check(root):
            raise InputError(f"{self.info.name}: own images can't be downloaded; now: {problems[0]}")

    def describe(self, root: Path | None) -> list[str]:
        """Return lines that say how the directory is read: classes, split, sizes, fingerprint and recipes."""
        lines = _describe(self.info, self._read(root))
        return [f"sample: {self.sample}", *lines] if self.sample else lines

    def _read(self, root: Path | None) -> OwnImages:
        if root is None:
            raise InputError(
                f"dataset {self.info.name}: no directory given; expected one with a folder of images per class"
            )
        return self.read(root)


def _describe(info: DatasetInfo, own: OwnImages) -> list[str]:
    splits = {split: own.open(split) for split in own.splits}
    counts = [sum(len(names[name]) for _, names in own.splits.values()) for name in own.classes]
    named = ", ".join(own.classes[:_NAMED]) + (", …" if len(own.classes) > _NAMED else "")
    each = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
    rule = f"one image in {VAL_SHARE} of each class is for validation, chosen by the SHA-256 of <class>/<image>"
    train, val = own.splits["train"][0].name, own.splits["val"][0].name
    lines = [
        f"classes: {len(own.classes):,} ({named}), of {each} images each",
        f"images: train {len(splits['train']):,}, val {len(splits['val']):,}",
        f"split: {rule}" if own.is_split_by_rule else f"split: {train}/ and {val}/",
        f"pixels: {_pixels(splits['train'])}",
        f"fingerprint: {joint_fingerprint(splits)} (names, sizes, classes, sampled content; part of each run's id)",
        f"recipes: {', else '.join(f'those of {name}' for name in info.recipes_of)}",
    ]
    for word, what, files in (
        ("ignored", "hidden and system files", own.ignored),
        ("not read", "beside the class folders", own.unused),
    ):
        if files:
            some = ", ".join(str(path) for path in files[:_NAMED]) + (", …" if len(files) > _NAMED else "")
            lines.append(f"{word}, {what}: {len(files):,} ({some})")
    return lines


def _pixels(images: ClassImages) -> str:
    """Return the smallest and largest width and height of images spread over the split, from their headers."""
    from PIL import Image

    sizes = []
    for index in range(0, len(images), max(1, len(images) // _MEASURED_IMAGES)):
        try:
            with Image.open(images.path(index)) as image:
                sizes.append(image.size)
        except OSError:  # `check` reports it
            continue
    if not sizes:
        return "no image can be opened"
    smallest, largest = min(sizes), max(sizes)
    each = (
        f"{smallest[0]} × {smallest[1]}"
        if smallest == largest
        else (
            f"{min(width for width, _ in sizes)} to {max(width for width, _ in sizes)} wide, "
            f"{min(height for _, height in sizes)} to {max(height for _, height in sizes)} high"
        )
    )
    return f"{each} (in {len(sizes):,} images of train)"

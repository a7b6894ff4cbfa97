"""A user's own images: a directory of class folders, with ``train/`` and ``val/`` or split by a rule.

``pretrain.datasets._own_images`` describes both layouts. Classes, counts and version come from the directory: the
version is the fingerprint of both splits, so two different directories never share a run's id, and a moved one keeps
it. ``folder_<word>`` is another such dataset, for sweeps with several directories.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pretrain.datasets._checks import check_images
from pretrain.datasets._files import FileImages
from pretrain.datasets._own_images import VAL_SHARE, OwnImages, read_own_images
from pretrain.datasets.interface import DatasetInfo, LabelledImages, joint_fingerprint
from pretrain.errors import InputError

INFO = DatasetInfo(
    name="folder",
    version="of the files",
    title="Own images, one folder per class",
    num_classes=0,
    sizes={"train": 0, "val": 0},
    source="a directory of the user's",
    recipes_of=("imagenet", "pets", "digits"),
)

_NAMED = 5
"""Classes and files that a description names."""
_MEASURED_IMAGES = 200


def open_split(root: Path | None, split: str) -> FileImages:
    return _read(root).open(split)


def read_info(splits: Mapping[str, LabelledImages]) -> DatasetInfo:
    return info_of(INFO, splits)


def check(root: Path | None) -> list[str]:
    try:
        own = _read(root)
    except InputError as error:
        return [str(error)]
    return check_own(INFO, {split: own.open(split) for split in own.splits})


def prepare(root: Path | None) -> None:
    """Raise an InputError unless the data can be used: nothing can be downloaded."""
    if problems := check(root):
        raise InputError(f"folder: own images can't be downloaded; now: {problems[0]}")


def describe(root: Path | None) -> list[str]:
    """Return lines that say how the directory is read: classes, split, sizes and fingerprint."""
    own = _read(root)
    splits = {split: own.open(split) for split in own.splits}
    counts = [sum(len(names[name]) for _, names in own.splits.values()) for name in own.classes]
    named = ", ".join(own.classes[:_NAMED]) + (", …" if len(own.classes) > _NAMED else "")
    rule = f"one image in {VAL_SHARE} of each class is for validation, chosen by the SHA-256 of <class>/<image>"
    train, val = own.splits["train"][0].name, own.splits["val"][0].name
    lines = [
        f"classes: {len(own.classes):,} ({named}), with {min(counts):,} to {max(counts):,} images",
        f"images: train {len(splits['train']):,}, val {len(splits['val']):,}",
        f"split: {rule}" if own.is_split_by_rule else f"split: {train}/ and {val}/",
        f"pixels: {_pixels(splits['train'])}",
        f"fingerprint: {joint_fingerprint(splits)} (of names, sizes and classes; part of every run's id)",
        f"recipes: those of {', '.join(INFO.recipes_of)}, the first that has one for method or protocol and backbone",
    ]
    for word, files in (("ignored", own.ignored), ("not read", own.unused)):
        if files:
            what = "hidden files and system files" if word == "ignored" else "files or folders beside the class folders"
            some = ", ".join(str(path) for path in files[:_NAMED]) + (", …" if len(files) > _NAMED else "")
            lines.append(f"{word}: {len(files):,} {what} ({some})")
    return lines


def info_of(info: DatasetInfo, splits: Mapping[str, LabelledImages]) -> DatasetInfo:
    """Return ``info`` with the version, number of classes and sizes of these splits."""
    return DatasetInfo(
        name=info.name,
        version=joint_fingerprint(splits),
        title=info.title,
        num_classes=splits["train"].num_classes,
        sizes={split: len(images) for split, images in splits.items()},
        source=info.source,
        recipes_of=info.recipes_of,
    )


def check_own(info: DatasetInfo, splits: Mapping[str, FileImages]) -> list[str]:
    """Return the faults of the images: each header is read, and a sample decoded."""
    found = info_of(info, splits)
    return [problem for split, images in splits.items() for problem in check_images(found, split, images)]


def _read(root: Path | None) -> OwnImages:
    if root is None:
        raise InputError("dataset folder: no directory given; expected a directory with one folder of images per class")
    return read_own_images(root)


def _pixels(images: FileImages) -> str:
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

"""A sample of a user's own images, for ``--tiny``.

The first ``CLASSES`` classes by name; of each class at most ``IMAGES`` per split: those whose path ``<class>/<image>``
has the smallest SHA-256. ``folder`` says how the directory is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pretrain.datasets._own_images import ClassImages, OwnImages, first_by_hash, read_own_images
from pretrain.datasets._own_info import check_own, describe_own, info_of, info_with, require_root
from pretrain.datasets.interface import DatasetInfo, LabelledImages
from pretrain.errors import InputError

CLASSES = 10
IMAGES = {"train": 32, "val": 8}
INFO = DatasetInfo(
    name="tiny_folder",
    version="of the files",
    title="A sample of own images",
    num_classes=0,
    sizes={"train": 0, "val": 0},
    source="a directory of the user's",
    recipes_of=("digits",),
)


def open_split(root: Path | None, split: str) -> ClassImages:
    return _read(root).open(split)


def read_info(splits: Mapping[str, LabelledImages]) -> DatasetInfo:
    return info_of(INFO, splits)


def info_of_version(version: str) -> DatasetInfo:
    return info_with(INFO, version)


def check(root: Path | None) -> list[str]:
    try:
        return check_own(INFO, _read(root))
    except InputError as error:
        return [str(error)]


def prepare(root: Path | None) -> None:
    """Raise an InputError unless the data can be used: nothing can be downloaded."""
    if problems := check(root):
        raise InputError(f"tiny_folder: own images can't be downloaded; now: {problems[0]}")


def describe(root: Path | None) -> list[str]:
    """Return lines that say how the directory is read and what the sample is."""
    sample = (
        f"sample: the first {CLASSES} classes by name, of each at most {IMAGES['train']} images of train and "
        f"{IMAGES['val']} of val, chosen by the SHA-256 of <class>/<image>"
    )
    return [sample, *describe_own(INFO, _read(root))]


def _read(root: Path | None) -> OwnImages:
    own = read_own_images(require_root(INFO, root))
    classes = own.classes[:CLASSES]
    splits = {
        split: (directory, {name: first_by_hash(name, names[name], IMAGES[split]) for name in classes})
        for split, (directory, names) in own.splits.items()
    }
    return replace(own, classes=classes, splits=splits)

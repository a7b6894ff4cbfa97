"""A user's own images: a directory of class folders, with ``train/`` and ``val/`` or split by a rule.

``pretrain.datasets._own_images`` describes both layouts. The version of the dataset holds the numbers of classes and
images and the fingerprint of both splits: names, sizes and classes of all images, and the content of a sample. Two
directories share a run's id only if they differ in nothing but the content of other images; a moved one keeps it.
``folder_<word>`` is another such dataset, for sweeps with several directories.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pretrain.datasets._own_images import ClassImages, OwnImages, read_own_images
from pretrain.datasets._own_info import check_own, describe_own, info_of, info_with, require_root
from pretrain.datasets.interface import DatasetInfo, LabelledImages
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


def open_split(root: Path | None, split: str) -> ClassImages:
    return _read(root).open(split)


def read_info(splits: Mapping[str, LabelledImages]) -> DatasetInfo:
    return info_of(INFO, splits)


def check(root: Path | None) -> list[str]:
    try:
        return check_own(INFO, _read(root))
    except InputError as error:
        return [str(error)]


def prepare(root: Path | None) -> None:
    """Raise an InputError unless the data can be used: nothing can be downloaded."""
    if problems := check(root):
        raise InputError(f"folder: own images can't be downloaded; now: {problems[0]}")


def describe(root: Path | None) -> list[str]:
    """Return lines that say how the directory is read: classes, split, sizes, fingerprint and recipes."""
    return describe_own(INFO, _read(root))


def info_of_version(version: str) -> DatasetInfo:
    return info_with(INFO, version)


def _read(root: Path | None) -> OwnImages:
    return read_own_images(require_root(INFO, root))

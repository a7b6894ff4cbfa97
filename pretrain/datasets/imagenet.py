"""ImageNet-1k (ILSVRC 2012) in the ImageFolder layout: ``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``.

Classes are numbered in the order of their folders' names, as torchvision, MoCo-v3 and timm number them. The
training set's folders define the classes, so a smaller tree of the same shape works too; ``check`` says that it
is smaller.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.datasets._checks import check_split, locate
from pretrain.datasets._files import FileImages
from pretrain.datasets._folder import class_folders, index_class_folders
from pretrain.datasets.interface import DatasetInfo
from pretrain.errors import InputError

INFO = DatasetInfo(
    name="imagenet",
    version="1",
    title="ImageNet-1k (ILSVRC 2012)",
    num_classes=1000,
    sizes={"train": 1_281_167, "val": 50_000},
    source="https://image-net.org/challenges/LSVRC/2012/",
)


def open_split(root: Path | None, split: str) -> FileImages:
    directory = locate(INFO, root, None, tuple(INFO.sizes))
    train = directory / "train"
    classes = class_folders(train if train.is_dir() else directory / split)
    return index_class_folders(directory / split, classes)


def check(root: Path | None) -> list[str]:
    problems = []
    for split in INFO.sizes:
        problems += check_split(INFO, split, lambda split: open_split(root, split))
        try:
            count = len(class_folders(locate(INFO, root, None, tuple(INFO.sizes)) / split))
        except InputError:
            continue  # said above
        if count != INFO.num_classes:
            problems.append(f"imagenet {split}: {count:,} class folders, there should be {INFO.num_classes:,}")
    return list(dict.fromkeys(problems))


def prepare(root: Path | None) -> None:
    """Nothing can be downloaded without an account; says what to do unless the data is already right."""
    if problems := check(root):
        raise InputError(
            f"imagenet can't be downloaded for you: register at https://image-net.org, fetch the ILSVRC 2012 training "
            f"and validation archives, and unpack them as train/<wnid>/*.JPEG and val/<wnid>/*.JPEG; now: {problems[0]}"
        )

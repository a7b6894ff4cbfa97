"""ImageNet-1k (ILSVRC 2012), in any of these layouts.

``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG`` or ``validation/<wnid>/*.JPEG``
    Classes are numbered in the order of their folders' names, as torchvision, MoCo-v3 and timm number them. The
    training set's folders define the classes.
``train/*.tar`` and ``val/*.tar`` or ``validation/*.tar``; or ``*train*.tar`` and ``*val*.tar``
    Shards with pairs ``key.jpg`` and ``key.cls``, such as ``imagenet1k-train-0000.tar``.
``dataset_dict.json``
    A Hugging Face dataset that ``save_to_disk`` wrote, with columns ``image`` and ``label``.

A smaller dataset in one of these layouts works too; ``check`` reports its size.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

from pretrain.datasets._arrow import DICTIONARY, open_saved_split
from pretrain.datasets._checks import check_images, locate
from pretrain.datasets._files import FileImages
from pretrain.datasets._folder import class_folders, has_class_folders, index_class_folders, unread_files
from pretrain.datasets._tar import TarImages, missing_shards
from pretrain.datasets._tar_index import open_shards
from pretrain.datasets.interface import DatasetInfo, LabelledImages, NotPublished
from pretrain.errors import InputError

INFO = DatasetInfo(
    name="imagenet",
    version="1",
    title="ImageNet-1k (ILSVRC 2012)",
    num_classes=1000,
    sizes={"train": 1_281_167, "val": 50_000},
    source="https://image-net.org/challenges/LSVRC/2012/",
)

SHARDS = {"train": ("train/*.tar", "*train*.tar"), "val": ("val/*.tar", "validation/*.tar", "*val*.tar")}
"""Patterns of each split's shards; the first that matches a file is used."""
FOLDERS = {"train": ("train",), "val": ("val", "validation")}
"""Allowed names of a split's folder of class folders."""
PARQUET = "data/*.parquet"


def open_split(root: Path | None, split: str) -> LabelledImages:
    directory = locate(INFO, root, None, (*chain(*FOLDERS.values()), *chain(*SHARDS.values()), DICTIONARY, PARQUET))
    if (directory / DICTIONARY).exists():
        return open_saved_split(directory, split)
    # Look for folders before archives: the archives that they were unpacked from may be beside them.
    if any(_is_split_of_folders(directory / name) for name in chain(*FOLDERS.values())):
        train = directory / "train"
        folder = _split_folder(directory, split)
        return index_class_folders(folder, class_folders(train if train.is_dir() else folder))
    if any(directory.glob(PARQUET)):
        raise InputError(
            f"{directory}: an image in Parquet files can't be read without its neighbours; save them once as Arrow: "
            f'datasets.load_dataset("{directory}").save_to_disk(…)'
        )
    return _open_tar_split(directory, split)


def check(root: Path | None) -> list[str]:
    problems = []
    classes_of: dict[str, set[int]] = {}
    for split in INFO.sizes:
        try:
            images = open_split(root, split)
        except InputError as error:
            problems.append(str(error))
            continue
        if isinstance(images, TarImages):
            problems += [f"imagenet {split}: shard {name} is missing" for name in missing_shards(images.shards)]
        if isinstance(images, FileImages):
            problems += unread_files(images.directory)
        problems += check_images(INFO, split, images)
        classes_of[split] = {images.label(index) for index in range(len(images))}
        count = len(classes_of[split])
        if count != INFO.num_classes:
            sentence = f"imagenet {split}: images of {count:,} classes, there should be {INFO.num_classes:,}"
            problems.append(NotPublished(sentence))
    if len(classes_of) == len(INFO.sizes):
        problems += _unequal_classes(root, classes_of)
    return list(dict.fromkeys(problems))


def prepare(root: Path | None) -> None:
    """Raise an InputError that says what to do, unless the data are right: the download needs an account."""
    if problems := check(root):
        raise InputError(
            f"imagenet can't be downloaded for you: register at https://image-net.org, fetch the ILSVRC 2012 training "
            f"and validation archives, and unpack them as train/<wnid>/*.JPEG and val/<wnid>/*.JPEG; now: {problems[0]}"
        )


def _unequal_classes(root: Path | None, classes_of: dict[str, set[int]]) -> list[str]:
    """Return one sentence for each split that lacks images of a class that the other split has."""
    problems = []
    for split, other in (("val", "train"), ("train", "val")):
        if lacking := sorted(classes_of[other] - classes_of[split]):
            example = open_split(root, other)
            where = next(example.describe(i) for i in range(len(example)) if example.label(i) == lacking[0])
            problems.append(
                f"imagenet {split}: has no images of {len(lacking):,} classes that {other} has, such as {lacking[0]} "
                f"({where})"
            )
    return problems


def _split_folder(directory: Path, split: str) -> Path:
    """Return the folder with a split's class folders; if none exists, the first allowed name."""
    found = [directory / name for name in FOLDERS[split] if _is_split_of_folders(directory / name)]
    if len(found) > 1 and not found[0].samefile(found[1]):
        raise InputError(f"{directory}: holds both {found[0].name}/ and {found[1].name}/ for {split}; keep one")
    return found[0] if found else directory / FOLDERS[split][0]


def _is_split_of_folders(folder: Path) -> bool:
    """Return whether ``folder`` holds class folders; a folder with shards and no subfolders does not."""
    return folder.is_dir() and (not any(folder.glob("*.tar")) or has_class_folders(folder))


def _open_tar_split(directory: Path, split: str) -> TarImages:
    shards = _find_shards(directory, split)
    if not shards:
        raise InputError(f"{directory}: holds no shards {' or '.join(SHARDS[split])}")
    images = open_shards(shards, INFO.num_classes)
    if split != "train" and (training := _find_shards(directory, "train")):
        return replace(images, num_classes=open_shards(training, INFO.num_classes).num_classes)
    return images


def _find_shards(directory: Path, split: str) -> list[Path]:
    found = (sorted(directory.glob(pattern)) for pattern in SHARDS[split])
    return next((shards for shards in found if shards), [])

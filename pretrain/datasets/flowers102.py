"""Oxford 102 Flowers (Nilsback and Zisserman 2008).

``train`` joins the published training and validation parts (1,020 each), as the transfer protocol of ViT, DeiT and
MoCo-v3 does; ``val`` is the published test part.

Layout: ``jpg/image_00001.jpg`` …, ``imagelabels.mat`` (one label per image, from 1) and ``setid.mat`` (image
numbers, from 1, of ``trnid``, ``valid`` and ``tstid``), in the root or in ``flowers-102/`` below it.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

from pretrain.datasets._checks import check_files, download, locate
from pretrain.datasets._files import FileImages, PackedPaths
from pretrain.datasets.interface import DatasetInfo
from pretrain.errors import InputError

INFO = DatasetInfo(
    name="flowers102",
    version="1",
    title="Oxford 102 Flowers",
    num_classes=102,
    sizes={"train": 2_040, "val": 6_149},
    source="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
)

PUBLISHED_MD5 = {
    "imagelabels.mat": "e0620be6f572b9609742df49c70aed4d",
    "setid.mat": "a5357ecc9cb78c4bef273ce3793fc85c",
}
_PARTS = {"train": ("trnid", "valid"), "val": ("tstid",)}


def open_split(root: Path | None, split: str) -> FileImages:
    directory = _locate(root)
    labels = _read_labels(directory)
    numbers = _read_image_numbers(directory, _PARTS[split])
    for number in numbers:
        if not 1 <= number <= len(labels):
            raise InputError(
                f"{directory / 'setid.mat'}: lists image {number}, imagelabels.mat has labels for 1…{len(labels)}"
            )
    return FileImages(
        directory,
        PackedPaths(f"jpg/image_{number:05d}.jpg" for number in numbers),
        array("q", (labels[number - 1] - 1 for number in numbers)),
        INFO.num_classes,
        sources=tuple(PUBLISHED_MD5),
    )


def check(root: Path | None) -> list[str]:
    return check_files(INFO, lambda: _locate(root), open_split, PUBLISHED_MD5, _pairing_problems)


def prepare(root: Path | None) -> None:
    """Download and unpack the published files (345 MB) into ``flowers-102/`` below ``root``."""
    from torchvision.datasets import Flowers102

    download(INFO, root, lambda directory: Flowers102(directory, download=True), check)


def _locate(root: Path | None) -> Path:
    return locate(INFO, root, "flowers-102", ("jpg", *PUBLISHED_MD5))


def _pairing_problems(directory: Path) -> list[str]:
    """Return sentences on surplus images and images in two splits; only numbers connect labels to images."""
    problems = []
    labels = len(_read_labels(directory))
    images = sum(1 for _ in directory.glob("jpg/image_*.jpg"))
    if labels != images:
        problems.append(f"{directory}: imagelabels.mat has {labels:,} labels for the {images:,} images in jpg/")
    train, val = (_read_image_numbers(directory, parts) for parts in _PARTS.values())
    if shared := set(train) & set(val):
        problems.append(f"{directory / 'setid.mat'}: image {min(shared)} is in both train and val")
    return problems


def _read_labels(directory: Path) -> list[int]:
    path = directory / "imagelabels.mat"
    labels = _integers(path, _read_mat(path), "labels")
    for number, label in enumerate(labels, start=1):
        if not 1 <= label <= INFO.num_classes:
            raise InputError(f"{path}: image {number} has label {label}; allowed: 1…{INFO.num_classes}")
    return labels


def _read_image_numbers(directory: Path, parts: tuple[str, ...]) -> list[int]:
    path = directory / "setid.mat"
    content = _read_mat(path)
    return [number for part in parts for number in _integers(path, content, part)]


def _read_mat(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        content: dict[str, Any] = loadmat(path)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror or error})") from error
    except Exception as error:  # on damaged input the parser raises many types of errors
        raise InputError(f"{path}: not a readable MATLAB file ({error})") from error
    return content


def _integers(path: Path, content: dict[str, Any], key: str) -> list[int]:
    if key not in content:
        raise InputError(f"{path}: has no variable {key!r}")
    values = content[key]
    if values.dtype.kind not in "iuf" or (values != values.astype(int)).any():
        raise InputError(f"{path}: {key!r} is not an array of whole numbers")
    return [int(value) for value in values.ravel()]

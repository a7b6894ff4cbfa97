"""Every reader of files against torchvision's own class on the same tree."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision import datasets as reference

from pretrain.datasets import LabelledImages, find_dataset, open_split
from pretrain.errors import InputError
from tests.pretrain.datasets import writers

WRITERS: dict[str, Callable[[Path], object]] = {
    "imagenet": writers.write_imagenet,
    "cifar10": writers.write_cifar10,
    "cifar100": writers.write_cifar100,
    "flowers102": writers.write_flowers102,
    "pets": writers.write_pets,
}
FOLDERS = {
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "flowers102": "flowers-102",
    "pets": "oxford-iiit-pet",
}


def by_torchvision(name: str, root: Path, split: str) -> list[tuple[Any, int]]:
    """Images and labels as torchvision reads them; Flowers' training set is its train and val, one after the other."""
    if name == "imagenet":
        return list(reference.ImageFolder(root / split))
    if name in ("cifar10", "cifar100"):
        return list({"cifar10": reference.CIFAR10, "cifar100": reference.CIFAR100}[name](root, train=split == "train"))
    if name == "flowers102":
        parts = {"train": ("train", "val"), "val": ("test",)}[split]
        return [pair for part in parts for pair in reference.Flowers102(root, split=part)]
    return list(reference.OxfordIIITPet(root, split={"train": "trainval", "val": "test"}[split]))


@pytest.fixture
def _unpublished_files_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision refuses files whose MD5 is not the published one, as those of a small tree never are."""
    monkeypatch.setattr(reference.cifar, "check_integrity", lambda *_: True)
    monkeypatch.setattr(reference.flowers102, "check_integrity", lambda *_: True)


@pytest.mark.usefixtures("_unpublished_files_allowed")
@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("name", WRITERS)
def test_reads_what_torchvision_reads(name: str, split: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    ours = open_split(name, tmp_path, split)
    theirs = by_torchvision(name, tmp_path, split)
    assert len(ours) == len(theirs) > 0
    for index, (image, label) in enumerate(theirs):
        assert ours.label(index) == label
        assert ours.image(index).mode == "RGB"
        np.testing.assert_array_equal(np.asarray(ours.image(index)), np.asarray(image))
    assert all(0 <= ours.label(index) < ours.num_classes for index in range(len(ours)))


@pytest.mark.parametrize("name", FOLDERS)
def test_root_may_be_the_unpacked_folder_itself(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    below, itself = (open_split(name, root, "val") for root in (tmp_path, tmp_path / FOLDERS[name]))
    assert below.fingerprint() == itself.fingerprint()


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_or_empty_root_is_named(name: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no directory given"):
        open_split(name, None, "train")
    with pytest.raises(InputError, match=r"nowhere can't be read .*; expected"):
        open_split(name, tmp_path / "nowhere", "train")
    with pytest.raises(InputError, match="empty is empty; expected"):
        open_split(name, empty, "train")
    (empty / "something-else.txt").touch()
    with pytest.raises(InputError, match="holds none of its files; expected"):
        open_split(name, empty, "train")
    assert len(find_dataset(name).check(empty)) == 1


@pytest.mark.parametrize("name", WRITERS)
def test_fingerprint_follows_the_content_and_not_the_place(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = (open_split(name, tmp_path / place, "train") for place in ("here", "there"))
    assert here.fingerprint() == there.fingerprint()
    assert here.fingerprint() != open_split(name, tmp_path / "here", "val").fingerprint()


def test_fingerprint_of_files_is_path_size_label_a_line(tmp_path: Path) -> None:
    writers.write_imagenet(tmp_path)
    directory = tmp_path / "train"
    lines = [
        f"{path.relative_to(directory)}\t{path.stat().st_size}\t{writers.WNIDS.index(path.parent.name)}\n"
        for path in sorted(directory.glob("*/*"))
    ]
    images = open_split("imagenet", tmp_path, "train")
    assert images.fingerprint() == hashlib.sha256("".join(lines).encode()).hexdigest()
    Path(images.describe(0)).unlink()
    with pytest.raises(InputError, match=r"n01440764_1000\.JPEG|n01440764_998\.JPEG"):
        images.fingerprint()


@pytest.mark.parametrize("name", ["imagenet", "flowers102", "pets"])
@pytest.mark.parametrize("damage", ["truncated", "no image", "missing"])
def test_an_undecodable_image_is_named(name: str, damage: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    images = open_split(name, tmp_path, "train")
    path = Path(images.describe(1))
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "no image":
        path.write_bytes(b"<html>404 Not Found</html>")
    else:
        path.unlink()
    with pytest.raises(InputError, match=path.name):
        images.image(1)
    if name != "imagenet" or damage != "missing":  # an image that nothing lists can't be missed
        assert any(path.name in problem for problem in find_dataset(name).check(tmp_path))
    images.image(0)


def sizes_as_written(monkeypatch: pytest.MonkeyPatch, name: str, root: Path) -> dict[str, LabelledImages]:
    """Make the dataset's published sizes those of the small tree."""
    from dataclasses import replace

    module = find_dataset(name)
    splits = {split: open_split(name, root, split) for split in ("train", "val")}
    published = replace(module.INFO, sizes={split: len(images) for split, images in splits.items()})
    monkeypatch.setattr(module, "INFO", published)
    return splits


def test_check_reports_counts_until_they_are_the_published_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers.write_pets(tmp_path)
    pets = find_dataset("pets")
    problems = pets.check(tmp_path)
    assert "pets train: 8 images, the published split has 3,680" in problems
    assert "pets val: 4 images, the published split has 3,669" in problems
    sizes_as_written(monkeypatch, "pets", tmp_path)
    assert pets.check(tmp_path) == []

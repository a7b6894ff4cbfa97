"""Own images: both layouts, the rule of the split, the identity of the directory, and every refused layout."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pretrain.datasets import dataset_info, find_dataset, info_of_run, open_split
from pretrain.errors import InputError
from tests.pretrain.datasets.writers import write_noise


def write_classes(root: Path, counts: dict[str, int]) -> Path:
    for label, (name, count) in enumerate(counts.items()):
        for index in range(count):
            write_noise(root / name / f"{index}.png", seed=100 * label + index, size=(6, 5))
    return root


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """12 images without splits: 7 cats, 3 dogs, 2 trains, which is also the name of a split."""
    return write_classes(tmp_path / "flat", {"cat": 7, "dog": 3, "train": 2})


@pytest.fixture
def split(tmp_path: Path) -> Path:
    write_classes(tmp_path / "split" / "train", {"cat": 3, "dog": 2})
    write_classes(tmp_path / "split" / "val", {"cat": 1, "dog": 2})
    return tmp_path / "split"


def names(root: Path, which: str) -> list[str]:
    images = open_split("folder", root, which)
    return [str(Path(images.describe(index)).relative_to(root)) for index in range(len(images))]


def labels(root: Path, which: str) -> list[int]:
    images = open_split("folder", root, which)
    return [images.label(index) for index in range(len(images))]


def test_one_image_in_five_of_each_class_is_for_validation(flat) -> None:
    expected = []
    for name, count in (("cat", 1), ("dog", 1), ("train", 1)):
        paths = [f"{name}/{image.name}" for image in (flat / name).iterdir()]
        expected += sorted(sorted(paths, key=lambda path: hashlib.sha256(path.encode()).hexdigest())[:count])
    assert names(flat, "val") == expected
    assert sorted(names(flat, "train") + names(flat, "val")) == sorted(
        str(path.relative_to(flat)) for path in flat.rglob("*.png")
    )
    assert labels(flat, "val") == [0, 1, 2]
    assert open_split("folder", flat, "train").image(0).size == (6, 5)


def test_given_splits_are_read_as_they_are(split) -> None:
    assert names(split, "train") == [
        "train/cat/0.png",
        "train/cat/1.png",
        "train/cat/2.png",
        *names(split, "train")[3:],
    ]
    assert (labels(split, "train"), labels(split, "val")) == ([0, 0, 0, 1, 1], [0, 1, 1])
    fingerprint = dataset_info("folder", split).version
    (split / "val").rename(split / "validation")
    assert dataset_info("folder", split).version == fingerprint


def test_counts_and_version_come_from_the_files(flat, tmp_path) -> None:
    info = dataset_info("folder", flat)
    assert (info.num_classes, info.sizes) == (3, {"train": 9, "val": 3})
    assert info_of_run("folder_birds", info.version) == info
    moved = shutil.move(flat, tmp_path / "elsewhere" / "birds")
    assert dataset_info("folder", Path(moved)) == info


@pytest.mark.parametrize("change", ["add", "remove", "rename", "grow", "rename class", "move to other class"])
def test_every_change_of_names_sizes_or_classes_is_another_version(flat, change) -> None:
    before = dataset_info("folder", flat).version
    image = flat / "cat" / "3.png"
    if change == "add":
        write_noise(flat / "cat" / "new.png", seed=9)
    elif change == "remove":
        image.unlink()
    elif change == "rename":
        image.rename(flat / "cat" / "30.png")
    elif change == "grow":
        image.write_bytes(image.read_bytes() + b"\0")
    elif change == "rename class":
        (flat / "cat").rename(flat / "catt")
    else:
        image.rename(flat / "dog" / "3.png")
        (flat / "dog" / "2.png").rename(flat / "cat" / "3.png")
        write_noise(flat / "cat" / "9.png", seed=1)
    assert dataset_info("folder", flat).version != before


def test_hidden_and_system_files_are_ignored_with_a_count(flat) -> None:
    before = dataset_info("folder", flat).version
    for name in (".DS_Store", "cat/Thumbs.db", "cat/._0.png", "dog/desktop.ini"):
        (flat / name).write_bytes(b"x")
    (flat / "cat" / ".ipynb_checkpoints").mkdir()
    (flat / "README.txt").write_text("mine")
    assert dataset_info("folder", flat).version == before
    lines = find_dataset("folder").describe(flat)
    assert any(line.startswith("ignored, hidden and system files: 5 (") for line in lines)
    assert any(line.startswith("not read, beside the class folders: 1 (") and "README.txt" in line for line in lines)
    assert find_dataset("folder").check(flat) == []


def test_a_description_says_how_the_directory_is_read(flat, split) -> None:
    text = "\n".join(find_dataset("folder").describe(flat))
    for part in (
        "classes: 3 (cat, dog, train), of 2 to 7 images",
        "train 9, val 3",
        "one image in 5",
        "6 × 5",
        "imagenet",
    ):
        assert part in text
    assert "split: train/ and val/" in "\n".join(find_dataset("folder").describe(split))


def test_a_file_that_is_no_image_is_a_fault(flat) -> None:
    (flat / "dog" / "1.png").write_bytes(b"not a picture")
    (problem,) = find_dataset("folder").check(flat)
    assert str(flat / "dog" / "1.png") in problem


def _nest(root: Path) -> None:
    write_noise(root / "cat" / "kittens" / "0.png", seed=1)


def _link_into_itself(root: Path) -> None:
    (root / "cat" / "again").symlink_to(root, target_is_directory=True)


def _link_to_itself(root: Path) -> None:
    (root / "owl").symlink_to(root / "owl")


def _write_invalid_name(root: Path) -> None:
    write_noise(root / "cat" / "x.png", seed=1)
    (root / "cat" / "x.png").rename(root / "cat" / os.fsdecode(b"\xff.png"))


REFUSED: list[tuple[Callable[[Path], object], str]] = [
    (lambda root: write_noise(root / "loose.png", seed=1), "1 images lie outside the class folders, such as loose.png"),
    (lambda root: (root / "owl").mkdir(), "owl: class folder without images"),
    (_nest, "kittens: is a folder inside the class folder cat"),
    (_link_into_itself, "again: is a folder inside the class folder cat"),
    (_link_to_itself, "owl: can't be read"),
    (lambda root: (root / "cat" / "x.heic").touch(), "x.heic: its extension is none of"),
    (lambda root: (root / "hund").symlink_to("dog"), "hund: is the same folder as class dog"),
    (lambda root: write_noise(root / "val" / "0.png", seed=1), "has train and val without class folders"),
    (
        lambda root: (root / "cat" / "x.png").symlink_to(root / "nowhere"),
        "x.png: is a link to a file that is not there",
    ),
    (lambda root: os.mkfifo(root / "cat" / "x.png"), "x.png: is a FIFO"),
    (_write_invalid_name, "the name is not UTF-8"),
    (lambda root: write_noise(root / "owl" / "0.png", seed=1), "owl: has one image; a class needs at least two"),
    (lambda root: [shutil.rmtree(root / name) for name in ("cat", "dog")], "only one class folder, train"),
    (lambda root: write_noise(root / "val" / "cat" / "0.png", seed=1), "no train/ with class folders"),
    (lambda root: write_noise(root / "train" / "cat" / "0.png", seed=1), "has train/ but no val/"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_layout_that_would_lose_images_is_refused(flat, change, message) -> None:
    change(flat)
    with pytest.raises(InputError) as refused:
        open_split("folder", flat, "train")
    assert message in str(refused.value)
    assert find_dataset("folder").check(flat) == [str(refused.value)]


@pytest.mark.parametrize(("only", "other"), [("val", "train"), ("train", "val")])
def test_a_class_of_one_split_alone_is_refused(split, only, other) -> None:
    write_noise(split / only / "owl" / "0.png", seed=1)
    with pytest.raises(InputError, match=f"owl: class 'owl' is only in {only}/, not in {other}/"):
        open_split("folder", split, "train")


def test_other_folders_beside_the_splits_are_named(split) -> None:
    write_classes(split / "test", {"cat": 1, "dog": 1})
    assert any("not read" in line and "test" in line for line in find_dataset("folder").describe(split))


def test_the_tiny_sample_is_stated_and_small(tmp_path) -> None:
    root = write_classes(tmp_path / "many", {f"c{number:02}": 2 for number in range(12)} | {"a": 50})
    info = dataset_info("tiny_folder", root)
    assert (info.num_classes, info.sizes) == (10, {"train": 32 + 9, "val": 8 + 9})
    assert "the first 10 classes by name" in find_dataset("tiny_folder").describe(root)[0]
    assert info.version != dataset_info("folder", root).version

"""ImageNet as tar shards: where they may lie, their index, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pretrain.datasets import _tar_index, imagenet
from pretrain.errors import InputError
from tests.pretrain.datasets.test_imagenet_layouts import contents
from tests.pretrain.datasets.writers import WNIDS, write_noise, write_tar

FOLDERS = {"val": {"train": "train", "val": "val"}, "validation": {"train": "train", "val": "validation"}}


def sort_into_folders(shards: Path, folders: dict[str, str]) -> None:
    """Move the shards into split folders, named by their number alone."""
    for split, folder in folders.items():
        (shards / folder).mkdir()
        for path in shards.glob(f"*{split}*.tar"):
            path.rename(shards / folder / path.name.rpartition("-")[2])


@pytest.mark.parametrize("folders", FOLDERS.values(), ids=FOLDERS)
def test_shards_in_split_folders_are_the_same_data(folders: dict[str, str], shards: Path) -> None:
    flat = {split: imagenet.open_split(shards, split) for split in folders}
    before = {split: (contents(images), images.fingerprint()) for split, images in flat.items()}
    found = imagenet.check(shards)
    sort_into_folders(shards, folders)
    sorted_in = {split: imagenet.open_split(shards, split) for split in folders}
    assert {split: (contents(images), images.fingerprint()) for split, images in sorted_in.items()} == before
    assert {images.num_classes for images in sorted_in.values()} == {len(WNIDS)}
    assert imagenet.check(shards) == found
    (shards / "train" / "0001.tar").unlink()
    assert "imagenet train: shard 0001.tar is missing" in imagenet.check(shards)


def test_validation_shards_alone_in_their_folder_can_be_opened(shards: Path) -> None:
    sort_into_folders(shards, FOLDERS["validation"])
    for path in (shards / "train").iterdir():
        path.unlink()
    (shards / "train").rmdir()
    assert len(imagenet.open_split(shards, "val")) == 6


def test_class_folders_go_before_the_archives_among_them(tree: Path) -> None:
    for wnid in WNIDS:
        write_tar(tree / "train" / f"{wnid}.tar", {f"{wnid}_1.JPEG": b"x"})
    write_tar(tree / "val" / "ILSVRC2012_img_val.tar", {"ILSVRC2012_val_00000001.JPEG": b"x"})
    assert [len(imagenet.open_split(tree, split)) for split in ("train", "val")] == [9, 6]


def test_shards_in_folders_go_before_the_archive_beside_them(shards: Path) -> None:
    sort_into_folders(shards, FOLDERS["val"])
    (shards / "ILSVRC2012_img_train.tar").touch()
    assert len(imagenet.open_split(shards, "train")) == 9


def test_a_split_in_shards_and_one_in_class_folders_are_not_mixed(shards: Path) -> None:
    sort_into_folders(shards, FOLDERS["validation"])
    write_noise(shards / "val" / WNIDS[0] / "x.JPEG", seed=0)
    with pytest.raises(InputError, match=r"train: holds no class folders; expected train/<class>/"):
        imagenet.open_split(shards, "train")


def test_the_index_is_read_once_and_again_after_a_change(
    shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = imagenet.open_split(shards, "train")
    reads: list[int] = []
    read_members = _tar_index.read_members
    monkeypatch.setattr(_tar_index, "read_members", lambda *a: reads.append(len(a[0])) or read_members(*a))  # type: ignore[func-returns-value]
    again = imagenet.open_split(shards, "train")
    assert contents(again) == contents(first)
    assert again.fingerprint() == first.fingerprint()
    assert reads == []
    write_tar(shards / "imagenet1k-train-0003.tar", {"new.jpg": b"", "new.cls": b"0"})
    assert len(imagenet.open_split(shards, "train")) == 10
    for kept in cache.iterdir():
        kept.write_bytes(kept.read_bytes()[:-200])
    assert len(imagenet.open_split(shards, "train")) == 10
    assert reads == [4, 4]


def test_without_a_place_for_the_index_all_goes_on(shards: Path, cache: Path) -> None:
    cache.parent.write_text("a file where the directory should be")
    assert len(imagenet.open_split(shards, "train")) == 9


def test_val_shards_alone_can_be_opened(shards: Path) -> None:
    for path in shards.glob("*train*"):
        path.unlink()
    assert len(imagenet.open_split(shards, "val")) == 6
    with pytest.raises(InputError, match=r"holds no shards train/\*\.tar or \*train\*\.tar"):
        imagenet.open_split(shards, "train")


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"a.jpg": b"x"}, "image a.jpg has no label a.cls"),
        ({"a.cls": b"1"}, "label a.cls has no image"),
        ({"a.jpg": b"x", "a.cls": b"cat"}, r"a.cls: holds b'cat'; allowed: a class number, 0…999"),
        ({"a.jpg": b"x", "a.cls": b"1000"}, r"a.cls: holds b'1000'; allowed: a class number, 0…999"),
        ({"a.jpg": b"x", "a.PNG": b"x", "a.cls": b"1"}, "holds two images a, a.jpg and a.PNG"),
        ({"/a.jpg": b"x", "/a.cls": b"1"}, "member '/a.jpg' leads out of the archive"),
        ({"../a.jpg": b"x", "../a.cls": b"1"}, "member '../a.jpg' leads out of the archive"),
        ({"a.jpg": b"x", "a.cls": b"1" * 5000}, "a.cls: holds b'11111111111111111111'; allowed"),
        ({"n01440764.tar": b"x"}, r"holds no images; expected pairs such as key.jpg and key.cls"),
    ],
)
def test_what_is_wrong_in_a_shard_is_named(members: dict[str, bytes], problem: str, shards: Path) -> None:
    path = shards / "imagenet1k-train-0001.tar"
    write_tar(path, members)
    with pytest.raises(InputError, match=f"train-0001.tar.*{problem}"):
        imagenet.open_split(shards, "train")
    assert any(path.name in found for found in imagenet.check(shards))


@pytest.mark.parametrize("bytes_kept", [0, 100, 700, 1024, 3000])
def test_a_shard_cut_off_anywhere_is_named(bytes_kept: int, shards: Path) -> None:
    path = shards / "imagenet1k-train-0001.tar"
    path.write_bytes(path.read_bytes()[:bytes_kept])
    with pytest.raises(InputError, match=r"train-0001\.tar: not a whole tar archive"):
        imagenet.open_split(shards, "train")


def test_a_damaged_header_is_not_taken_for_the_end(shards: Path) -> None:
    path = shards / "imagenet1k-train-0001.tar"
    content = bytearray(path.read_bytes())
    content[1024:1100] = b"?" * 76
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"train-0001\.tar: not a whole tar archive"):
        imagenet.open_split(shards, "train")


def test_a_missing_shard_and_a_broken_image_are_named(shards: Path) -> None:
    (shards / "imagenet1k-train-0001.tar").unlink()
    write_tar(shards / "imagenet1k-train-0002.tar", {"a.jpg": b"<html>404</html>", "a.cls": b"0"})
    problems = imagenet.check(shards)
    assert "imagenet train: shard imagenet1k-train-0001.tar is missing" in problems
    assert any("imagenet1k-train-0002.tar, a.jpg: can't be decoded" in problem for problem in problems)

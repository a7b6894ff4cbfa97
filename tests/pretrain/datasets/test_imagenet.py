from __future__ import annotations

from pathlib import Path

import pytest

from pretrain.datasets import imagenet
from pretrain.datasets._files import PackedPaths
from pretrain.errors import InputError
from tests.pretrain.datasets.writers import WNIDS, write_imagenet, write_noise


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_imagenet(tmp_path)
    return tmp_path


def test_num_classes_is_that_of_the_tree(root: Path) -> None:
    assert imagenet.open_split(root, "val").num_classes == len(WNIDS)


def test_extensions_in_any_case_and_no_hidden_files(root: Path) -> None:
    folder = root / "train" / WNIDS[0]
    for name in ("b.jpg", "a.PNG", "c.Jpeg"):
        write_noise(folder / name, seed=1)
    (folder / "._b.jpg").touch()
    (folder / "notes.txt").touch()
    (root / "train" / ".cache").mkdir()
    images = imagenet.open_split(root, "train")
    names = [Path(images.describe(index)).name for index in range(len(images)) if images.label(index) == 0]
    assert names == ["a.PNG", "b.jpg", "c.Jpeg", *sorted(f"{WNIDS[0]}_{1000 - index}.JPEG" for index in range(3))]


def test_val_labels_are_the_training_classes_even_when_one_is_absent(root: Path) -> None:
    first = root / "val" / WNIDS[0]
    for path in first.iterdir():
        path.unlink()
    first.rmdir()
    images = imagenet.open_split(root, "val")
    assert {images.label(index) for index in range(len(images))} == {1, 2}
    assert "imagenet val: images of 2 classes, there should be 1,000" in imagenet.check(root)


def test_val_alone_can_be_opened(root: Path, tmp_path: Path) -> None:
    (root / "train").rename(root / "elsewhere")
    assert len(imagenet.open_split(root, "val")) == 6
    with pytest.raises(InputError, match="train: can't be listed"):
        imagenet.open_split(root, "train")


def test_a_class_the_training_set_lacks_is_refused(root: Path) -> None:
    write_noise(root / "val" / "n99999999" / "x.JPEG", seed=0)
    with pytest.raises(InputError, match=r"n99999999.*not among the training set's classes"):
        imagenet.open_split(root, "val")


def test_an_empty_class_folder_is_named(root: Path) -> None:
    (root / "train" / "n03000000").mkdir()
    with pytest.raises(InputError, match="n03000000: class folder without images"):
        imagenet.open_split(root, "train")
    assert any("n03000000" in problem for problem in imagenet.check(root))


def test_a_flat_validation_folder_is_explained(root: Path) -> None:
    for path in list((root / "val").rglob("*.JPEG")):
        path.rename(root / "val" / path.name)
    for wnid in WNIDS:
        (root / "val" / wnid).rmdir()
    with pytest.raises(InputError, match="no class folders; expected val/<class>/"):
        imagenet.open_split(root, "val")


def test_prepare_says_where_to_get_it(root: Path) -> None:
    with pytest.raises(InputError, match=r"image-net\.org.*train/<wnid>"):
        imagenet.prepare(root)


def test_packed_paths_are_a_sequence() -> None:
    paths = ["a/b.JPEG", "", "ü/é.png", "undecodable\udcff.jpg"]
    packed = PackedPaths(paths)
    assert [packed[index] for index in range(len(packed))] == paths == list(packed)
    assert packed[-1] == paths[-1]
    with pytest.raises(IndexError):
        packed[len(paths)]

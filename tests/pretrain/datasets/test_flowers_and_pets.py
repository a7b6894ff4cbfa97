from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from torchvision.datasets import Flowers102

from pretrain.datasets import flowers102, pets
from pretrain.errors import InputError
from tests.pretrain.datasets.writers import write_flowers102, write_pets


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_flowers_published_checksums_are_torchvisions() -> None:
    theirs = dict(Flowers102._file_dict[key] for key in ("label", "setid"))
    assert theirs == flowers102.PUBLISHED_MD5


@pytest.mark.parametrize("name", ["imagelabels.mat", "setid.mat"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"MATLAB 5.0 MAT-file" + b" " * 300, None])
def test_flowers_unreadable_mat_is_named(name: str, content: bytes | None, tmp_path: Path) -> None:
    folder = write_flowers102(tmp_path)
    path = folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        flowers102.open_split(tmp_path, "train")
    assert any(name in problem for problem in flowers102.check(tmp_path))


def test_flowers_truncated_mat_is_named(tmp_path: Path) -> None:
    path = write_flowers102(tmp_path) / "imagelabels.mat"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"imagelabels\.mat"):
        flowers102.open_split(tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("imagelabels.mat", {"labels": [[1, 0, 3] * 4]}, "image 2 has label 0; allowed: 1…102"),
        ("imagelabels.mat", {"labels": [[1.5] * 12]}, "not an array of whole numbers"),
        ("imagelabels.mat", {"labels": [[1] * 11]}, "lists image 12, imagelabels.mat has labels for 1…11"),
        ("setid.mat", {"trnid": [[1]]}, "has no variable 'valid'"),
    ],
)
def test_flowers_wrong_content_is_explained(
    name: str, content: dict[str, list[list[int]]], message: str, tmp_path: Path
) -> None:
    folder = write_flowers102(tmp_path)
    savemat(folder / name, content)
    with pytest.raises(InputError, match=message):
        flowers102.open_split(tmp_path, "train")


def test_flowers_check_finds_missing_and_surplus_and_shared_images(tmp_path: Path) -> None:
    folder = write_flowers102(tmp_path)
    (folder / "jpg" / "image_00010.jpg").unlink()
    parts = {key: value for key, value in loadmat(folder / "setid.mat").items() if not key.startswith("_")}
    parts["tstid"] = np.append(parts["tstid"], [[8]], axis=1)
    savemat(folder / "setid.mat", parts)
    problems = flowers102.check(tmp_path)
    assert any("flowers102 val: 1 listed images are missing" in p and "image_00010.jpg" in p for p in problems)
    assert any("12 labels for the 11 images" in problem for problem in problems)
    assert any("image 8 is in both train and val" in problem for problem in problems)
    assert any("setid.mat: differs from the published file" in problem for problem in problems)


@pytest.mark.parametrize(
    "line", ["Abyssinian_100 1 1", "Abyssinian_100 0 1 1", "Abyssinian_100 38 1 1", "Abyssinian_100 one 1 1"]
)
def test_pets_bad_line_is_named(line: str, tmp_path: Path) -> None:
    folder = write_pets(tmp_path)
    replace_in(folder / "annotations" / "trainval.txt", "Abyssinian_100 1 1 1", line)
    with pytest.raises(InputError, match=r"trainval\.txt, line 1: .*1…37"):
        pets.open_split(tmp_path, "train")


def test_pets_missing_or_empty_list_is_named(tmp_path: Path) -> None:
    path = write_pets(tmp_path) / "annotations" / "test.txt"
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"test\.txt: lists no images"):
        pets.open_split(tmp_path, "val")
    path.unlink()
    with pytest.raises(InputError, match=r"test\.txt: can't be read"):
        pets.open_split(tmp_path, "val")


def test_pets_check_finds_missing_images_and_wrong_pairings(tmp_path: Path) -> None:
    folder = write_pets(tmp_path)
    (folder / "images" / "basset_hound_7.jpg").unlink()
    replace_in(folder / "annotations" / "test.txt", "american_bulldog_201 2", "american_bulldog_201 3")
    problems = pets.check(tmp_path)
    assert any("1 listed images are missing" in p and "basset_hound_7.jpg" in p for p in problems)
    assert any("american_bulldog_201 has class 3, which is american_pit_bull_terrier" in p for p in problems)
    replace_in(folder / "annotations" / "test.txt", "Abyssinian_201", "Abyssinian_100")
    assert any("Abyssinian_100 is in both" in problem for problem in pets.check(tmp_path))

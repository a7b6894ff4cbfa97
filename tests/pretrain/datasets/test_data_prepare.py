"""``prepare``: torchvision's downloads end in the layout the readers expect.

There is no network here. torchvision's one function that fetches a URL is replaced by one that hands out archives
of small trees, packed as the published ones are; its checksums are set to theirs. Everything else, torchvision's
unpacking included, is the real thing.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torchvision import datasets as reference

from pretrain.datasets import cifar10, cifar100, find_dataset, flowers102, open_split
from pretrain.errors import InputError
from tests.pretrain.datasets import writers

Serve = Callable[[str, Path], str]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def pack(archive: Path, *members: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        for member in members:
            tar.add(member, arcname=member.name)
    return archive


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Make a URL's last part answer with a file; gives the file's MD5."""
    files: dict[str, Path] = {}

    def fetch(url: str, filename: str | Path, *_: object) -> None:
        if (name := url.rpartition("/")[2]) not in files:
            raise OSError(f"no route to {url}")
        shutil.copy(files[name], filename)

    def add(name: str, file: Path) -> str:
        files[name] = file
        return md5(file)

    monkeypatch.setattr(reference.utils, "_urlretrieve", fetch)
    monkeypatch.setattr(reference.utils, "_get_redirect_url", lambda url, **_: url)
    return add


def publish_cifar(name: str, origin: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = {"cifar10": (cifar10, reference.CIFAR10), "cifar100": (cifar100, reference.CIFAR100)}[name]
    folder = {"cifar10": writers.write_cifar10, "cifar100": writers.write_cifar100}[name](origin)
    batches = {
        split: {file: md5(folder / file) for file in published} for split, published in ours.FILES.batches.items()
    }
    monkeypatch.setattr(ours, "FILES", replace(ours.FILES, batches=batches))
    monkeypatch.setattr(theirs, "train_list", [list(pair) for pair in batches["train"].items()])
    monkeypatch.setattr(theirs, "test_list", [list(pair) for pair in batches["val"].items()])
    monkeypatch.setattr(theirs, "meta", {**theirs.meta, "md5": md5(folder / theirs.meta["filename"])})
    monkeypatch.setattr(theirs, "tgz_md5", serve(theirs.filename, pack(origin / "archive.tgz", folder)))


def publish_flowers(name: str, origin: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = writers.write_flowers102(origin)
    theirs = {
        "image": ("102flowers.tgz", serve("102flowers.tgz", pack(origin / "images.tgz", folder / "jpg"))),
        "label": ("imagelabels.mat", serve("imagelabels.mat", folder / "imagelabels.mat")),
        "setid": ("setid.mat", serve("setid.mat", folder / "setid.mat")),
    }
    monkeypatch.setattr(reference.Flowers102, "_file_dict", theirs)
    monkeypatch.setattr(flowers102, "PUBLISHED_MD5", dict([theirs["label"], theirs["setid"]]))


def publish_pets(name: str, origin: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = writers.write_pets(origin)
    resources = tuple(
        (url, serve(f"{part}.tar.gz", pack(origin / f"{part}.tgz", folder / part)))
        for (url, _), part in zip(reference.OxfordIIITPet._RESOURCES, ("images", "annotations"), strict=True)
    )
    monkeypatch.setattr(reference.OxfordIIITPet, "_RESOURCES", resources)


PUBLISHERS = {
    "cifar10": publish_cifar,
    "cifar100": publish_cifar,
    "flowers102": publish_flowers,
    "pets": publish_pets,
}


@pytest.mark.parametrize("name", PUBLISHERS)
def test_prepare_downloads_into_the_layout_that_is_read(
    name: str, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, root = tmp_path / "origin", tmp_path / "not yet there" / name
    PUBLISHERS[name](name, origin, serve, monkeypatch)
    module = find_dataset(name)
    sizes = {split: len(open_split(name, origin, split)) for split in module.INFO.sizes}
    monkeypatch.setattr(module, "INFO", replace(module.INFO, sizes=sizes))
    assert module.check(root)
    module.prepare(root)
    assert module.check(root) == []
    for split in sizes:
        assert open_split(name, root, split).fingerprint() == open_split(name, origin, split).fingerprint()

    monkeypatch.setattr(reference.utils, "_urlretrieve", None)
    module.prepare(root)  # what is there is not fetched again


@pytest.mark.parametrize("name", PUBLISHERS)
@pytest.mark.usefixtures("serve")
def test_a_failed_download_is_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"dataset {name}: download into .* failed .*no route to") as caught:
        find_dataset(name).prepare(tmp_path / name)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no directory given"):
        find_dataset(name).prepare(None)


def test_a_download_of_something_else_is_not_accepted(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_pets("pets", tmp_path / "origin", serve, monkeypatch)
    with pytest.raises(InputError, match="damaged after the download: pets train: 8 images"):
        find_dataset("pets").prepare(tmp_path / "root")

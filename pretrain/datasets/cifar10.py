"""CIFAR-10 (Krizhevsky 2009): 32×32 colour photographs of 10 kinds of things; ``val`` is the published test set.

Layout: ``cifar-10-batches-py/`` with ``data_batch_1`` … ``data_batch_5`` and ``test_batch``; the root may also be
this folder itself.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.datasets._arrays import ArrayImages
from pretrain.datasets._checks import download
from pretrain.datasets._cifar import CifarFiles, check_cifar, open_cifar
from pretrain.datasets.interface import DatasetInfo

INFO = DatasetInfo(
    name="cifar10",
    version="1",
    title="CIFAR-10",
    num_classes=10,
    sizes={"train": 50_000, "val": 10_000},
    source="https://www.cs.toronto.edu/~kriz/cifar.html",
)

FILES = CifarFiles(
    folder="cifar-10-batches-py",
    batches={
        "train": {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        "val": {"test_batch": "40351d587109b95175f43aff81a1287e"},
    },
    labels_key="labels",
)


def open_split(root: Path | None, split: str) -> ArrayImages:
    return open_cifar(INFO, FILES, root, split)


def check(root: Path | None) -> list[str]:
    return check_cifar(INFO, FILES, root)


def prepare(root: Path | None) -> None:
    """Download and unpack the published archive (163 MB) below ``root``."""
    from torchvision.datasets import CIFAR10

    download(INFO, root, lambda directory: CIFAR10(directory, download=True), check)

"""CIFAR-100 (Krizhevsky 2009) with its 100 fine labels; ``val`` is the published test set.

Layout: ``cifar-100-python/`` with ``train`` and ``test``; the root may also be this folder itself.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.datasets._arrays import ArrayImages
from pretrain.datasets._checks import download
from pretrain.datasets._cifar import CifarFiles, check_cifar, open_cifar
from pretrain.datasets.interface import DatasetInfo

INFO = DatasetInfo(
    name="cifar100",
    version="1",
    title="CIFAR-100",
    num_classes=100,
    sizes={"train": 50_000, "val": 10_000},
    source="https://www.cs.toronto.edu/~kriz/cifar.html",
)

FILES = CifarFiles(
    folder="cifar-100-python",
    batches={
        "train": {"train": "16019d7e3df5f24257cddd939b257f8d"},
        "val": {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    },
    labels_key="fine_labels",
)


def open_split(root: Path | None, split: str) -> ArrayImages:
    return open_cifar(INFO, FILES, root, split)


def check(root: Path | None) -> list[str]:
    return check_cifar(INFO, FILES, root)


def prepare(root: Path | None) -> None:
    """Download and unpack the published archive (161 MB) below ``root``."""
    from torchvision.datasets import CIFAR100

    download(INFO, root, lambda directory: CIFAR100(directory, download=True), check)

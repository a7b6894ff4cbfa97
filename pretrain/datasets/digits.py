"""The UCI optical digits shipped with scikit-learn: 1,797 grey images of 8×8 pixels.

The split is this project's: 50 random images of every digit, fixed, are ``val``; the other 1,297 are ``train``.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.datasets._arrays import ArrayImages, read_packaged_images, stratified_split
from pretrain.datasets._checks import check_split
from pretrain.datasets.interface import DatasetInfo

INFO = DatasetInfo(
    name="digits",
    version="1",
    title="scikit-learn digits (8×8)",
    num_classes=10,
    sizes={"train": 1_297, "val": 500},
    source="https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html",
    needs_root=False,
    mean=(0.3061, 0.3061, 0.3061),
    std=(0.3765, 0.3765, 0.3765),
)


def open_split(root: Path | None, split: str) -> ArrayImages:
    pixels, labels = read_packaged_images("digits", "sklearn", "datasets/data/digits.csv.gz", side=8, largest=16)
    chosen = stratified_split(labels, val_per_class=50, seed=0)[split]
    return ArrayImages("digits", split, pixels[chosen], labels[chosen], INFO.num_classes)


def check(root: Path | None) -> list[str]:
    return [problem for split in INFO.sizes for problem in check_split(INFO, split, lambda s: open_split(root, s))]


def prepare(root: Path | None) -> None:
    """Do nothing: scikit-learn contains the images."""

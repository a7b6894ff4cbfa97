"""COCO 2017 (Lin et al. 2014): boxes and masks of objects of 80 categories.

Layout: ``train2017/``, ``val2017/`` and ``annotations/instances_{train,val}2017.json``, in the root or in ``coco/``
below it.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.datasets._coco import check_coco, open_coco_split
from pretrain.datasets._dense import AnnotatedFiles
from pretrain.datasets.interface import DatasetInfo
from pretrain.errors import InputError

INFO = DatasetInfo(
    name="coco",
    version="1",
    title="COCO 2017",
    num_classes=80,
    sizes={"train": 118_287, "val": 5_000},
    source="https://cocodataset.org/#download",
    kind="detection",
)

CATEGORIES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""Names in the order of the published files, in which MMDetection numbers its labels."""


def open_split(root: Path | None, split: str) -> AnnotatedFiles:
    return open_coco_split(INFO, root, split)


def check(root: Path | None) -> list[str]:
    return check_coco(INFO, root, CATEGORIES)


def prepare(root: Path | None) -> None:
    """Raise an InputError that says what to do, unless the data are right: a person must accept the terms."""
    if problems := check(root):
        raise InputError(
            f"coco is not downloaded for you: read its terms at {INFO.source}, fetch the 2017 train and val images and "
            f"annotations and unpack them here; now: {problems[0]}"
        )

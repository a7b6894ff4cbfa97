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


def open_split(root: Path | None, split: str) -> AnnotatedFiles:
    return open_coco_split(INFO, root, split)


def check(root: Path | None) -> list[str]:
    return check_coco(INFO, root)


def prepare(root: Path | None) -> None:
    """Says what to do unless the data is already right: its terms are to be agreed to by a person."""
    if problems := check(root):
        raise InputError(
            f"coco is not downloaded for you: read its terms at {INFO.source}, fetch the 2017 train and val images and "
            f"annotations and unpack them here; now: {problems[0]}"
        )

"""A sample of a user's own images, for ``--tiny``.

The first ``CLASSES`` classes by name; of each class at most ``IMAGES`` per split: those whose path ``<class>/<image>``
has the smallest SHA-256. ``folder`` says how the directory is read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pretrain.datasets._own_dataset import OwnDataset
from pretrain.datasets._own_images import OwnImages, first_by_hash, read_own_images
from pretrain.datasets.interface import DatasetInfo

CLASSES = 10
IMAGES = {"train": 32, "val": 8}
INFO = DatasetInfo(
    name="tiny_folder",
    version="of the files",
    title="A sample of own images",
    num_classes=0,
    sizes={"train": 0, "val": 0},
    source="a directory of the user's",
    recipes_of=("digits",),
)


def _read_sample(root: Path) -> OwnImages:
    own = read_own_images(root)
    classes = own.classes[:CLASSES]
    splits = {
        split: (directory, {name: first_by_hash(name, names[name], IMAGES[split]) for name in classes})
        for split, (directory, names) in own.splits.items()
    }
    return replace(own, classes=classes, splits=splits)


_DATASET = OwnDataset(
    INFO,
    _read_sample,
    f"the first {CLASSES} classes by name, of each at most {IMAGES['train']} images of train and {IMAGES['val']} of "
    "val, chosen by the SHA-256 of <class>/<image>",
)
open_split, check, prepare = _DATASET.open_split, _DATASET.check, _DATASET.prepare
read_info, info_of_version, describe = _DATASET.read_info, _DATASET.info_of_version, _DATASET.describe

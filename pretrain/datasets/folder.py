"""A user's own images: a directory of class folders, with ``train/`` and ``val/`` or split by a rule.

``pretrain.datasets._own_images`` describes both layouts. The version of the dataset holds the numbers of classes and
images and the fingerprint of both splits: names, sizes and classes of all images, and the content of a sample. Two
directories share a run's id only if they differ in nothing but the content of other images; a moved one keeps it.
``folder_<word>`` is another such dataset, for sweeps with several directories.
"""

from __future__ import annotations

from pretrain.datasets._own_dataset import OwnDataset
from pretrain.datasets._own_images import read_own_images
from pretrain.datasets.interface import DatasetInfo

INFO = DatasetInfo(
    name="folder",
    version="of the files",
    title="Own images, one folder per class",
    num_classes=0,
    sizes={"train": 0, "val": 0},
    source="a directory of the user's",
    recipes_of=("imagenet", "pets", "digits"),
)
_DATASET = OwnDataset(INFO, read_own_images)
open_split, check, prepare = _DATASET.open_split, _DATASET.check, _DATASET.prepare
read_info, info_of_version, describe = _DATASET.read_info, _DATASET.info_of_version, _DATASET.describe

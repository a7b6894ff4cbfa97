"""Labelled image collections, one module each, found by name.

A dataset module offers

``INFO: DatasetInfo``
    name, version, class count and split sizes; reading it imports nothing heavy.
``open_split(root, split) -> Split``
    reads what is on disk (or in an installed package); never downloads. Datasets for classification give
    ``LabelledImages``; those for segmentation and detection say where the files are, in the layout that the
    OpenMMLab libraries read.
``check(root) -> list[str]``
    what is wrong with the data, one sentence each; empty when all is well. A sentence about another size than the
    published one is a ``NotPublished``; every other sentence keeps a run from starting.
``prepare(root) -> None``
    downloads or lays out the data, only ever on the user's explicit word.

Adding a dataset is adding a module here, or a module under the entry point group ``opera_bench.datasets``.
"""

from pretrain.datasets.interface import DatasetInfo, Kind, LabelledImages, NotPublished, Split
from pretrain.datasets.lookup import (
    dataset_names,
    describe_datasets,
    find_dataset,
    open_any_split,
    open_split,
    opening_once,
)

__all__ = [
    "DatasetInfo",
    "Kind",
    "LabelledImages",
    "NotPublished",
    "Split",
    "dataset_names",
    "describe_datasets",
    "find_dataset",
    "open_any_split",
    "open_split",
    "opening_once",
]

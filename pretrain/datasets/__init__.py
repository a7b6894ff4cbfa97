"""Labelled image collections, one module each, found by name.

A dataset module offers

``INFO: DatasetInfo``
    name, version, class count and split sizes; reading it imports nothing heavy.
``open_split(root, split) -> LabelledImages``
    reads what is on disk (or in an installed package); never downloads.
``check(root) -> list[str]``
    what is wrong with the data, one sentence each; empty when all is well.
``prepare(root) -> None``
    downloads or lays out the data, only ever on the user's explicit word.

Adding a dataset is adding a module here, or a module under the entry point group ``opera_bench.datasets``.
"""

from pretrain.datasets.interface import DatasetInfo, LabelledImages
from pretrain.datasets.lookup import dataset_names, describe_datasets, find_dataset, open_split

__all__ = ["DatasetInfo", "LabelledImages", "dataset_names", "describe_datasets", "find_dataset", "open_split"]

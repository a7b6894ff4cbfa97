"""Image datasets, one module each, found by name.

A dataset module has

``INFO: DatasetInfo``
    name, version, number of classes and split sizes; reading it imports nothing heavy.
``open_split(root, split) -> Split``
    reads the data from disk or an installed package; never downloads. Datasets for classification return
    ``LabelledImages``. Those for segmentation and detection return the paths of files, in the layout that the
    OpenMMLab libraries read.
``check(root) -> list[str]``
    returns one sentence per fault of the data; empty if there is none. A ``NotPublished`` says that the size differs
    from the published one; any other sentence keeps a run from starting.
``prepare(root) -> None``
    downloads or lays out the data; called only if the user asks for it.

Three functions are optional, for datasets whose classes and sizes only the files know (``folder``):

``read_info(splits) -> DatasetInfo``
    returns the facts of opened splits; its ``version`` must differ if the files differ.
``info_of_version(version) -> DatasetInfo``
    returns the same facts from that ``version``, which a run's configuration holds.
``describe(root) -> list[str]``
    returns lines for ``opera-bench data check`` that say how the directory is read.

To add a dataset, add a module here or under the entry point group ``opera_bench.datasets``.
"""

from pretrain.datasets.interface import DatasetInfo, Kind, LabelledImages, NotPublished, Split
from pretrain.datasets.lookup import (
    dataset_info,
    dataset_names,
    describe_datasets,
    find_dataset,
    info_of_run,
    module_name,
    open_any_split,
    open_split,
    opening_once,
    reads_info,
)

__all__ = [
    "DatasetInfo",
    "Kind",
    "LabelledImages",
    "NotPublished",
    "Split",
    "dataset_info",
    "dataset_names",
    "describe_datasets",
    "find_dataset",
    "info_of_run",
    "module_name",
    "open_any_split",
    "open_split",
    "opening_once",
    "reads_info",
]

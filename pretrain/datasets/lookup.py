"""Finds datasets by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import cast

from pretrain.datasets.interface import DatasetInfo, DatasetModule, LabelledImages, Split
from pretrain.errors import InputError
from pretrain.plugins import PluginKind

DATASETS = PluginKind[DatasetModule](
    "pretrain.datasets", "dataset", {"INFO": DatasetInfo, "open_split": None, "check": None, "prepare": None}
)
dataset_names = DATASETS.names
LABELLED = ("folder", "tiny_folder")
"""Datasets that may have a word after their name, such as ``folder_birds``: each word has its own directory."""
LABEL = "[A-Za-z0-9_.-]+"
"""Pattern of that word."""
_OPENED: ContextVar[dict[tuple[str, Path | None, str], Split] | None] = ContextVar("opened splits", default=None)
_INFOS: ContextVar[dict[tuple[str, Path | None], DatasetInfo] | None] = ContextVar("infos read", default=None)


def module_name(name: str) -> str:
    """Return the name of a dataset's module: folder for folder_birds, and for most datasets ``name`` itself."""
    if name in dataset_names():
        return name
    return next((known for known in LABELLED if re.fullmatch(f"{known}_{LABEL}", name)), name)


def find_dataset(name: str) -> DatasetModule:
    """Return the module of a dataset.

    Raises
    ------
    InputError
        The name is unknown, or the module can't be used.
    """
    return DATASETS.find(module_name(name))


def reads_info(name: str) -> bool:
    """Return whether classes, sizes and version of a dataset are those of the files in its directory."""
    return hasattr(find_dataset(name), "read_info")


def dataset_info(name: str, root: Path | None) -> DatasetInfo:
    """Return the facts of a dataset; those of own images come from their directory.

    Raises
    ------
    InputError
        The dataset is unknown; or it is own images, and the directory is missing or has another layout.
    """
    module = find_dataset(name)
    read = getattr(module, "read_info", None)
    if read is None:
        return module.INFO
    known = _INFOS.get()
    if known is None or (name, root) not in known:
        found: DatasetInfo = read({split: open_any_split(name, root, split) for split in module.INFO.sizes})
        if known is None:
            return found
        known[name, root] = found
    return known[name, root]


def describe_datasets() -> list[DatasetInfo]:
    """Return the facts of every dataset that can be imported, sorted by name; reads no data."""
    return [module.INFO for _, module in DATASETS.usable()]


def info_of_run(name: str, version: str) -> DatasetInfo:
    """Return the facts of a dataset from the name and version in a run's configuration, without its data."""
    module = find_dataset(name)
    found: DatasetInfo = module.info_of_version(version) if reads_info(name) else module.INFO  # type: ignore[attr-defined]
    return found


@contextmanager
def opening_once() -> Iterator[None]:
    """Within the block, return one object for all calls that open one split of one directory.

    So a fingerprint describes exactly the images that are used, even if the directory changes in between, and
    ImageNet's million files are listed once. Each block, process and thread has its own objects.
    """
    tokens = _OPENED.set({}), _INFOS.set({})
    try:
        yield
    finally:
        _OPENED.reset(tokens[0])
        _INFOS.reset(tokens[1])


def open_split(name: str, root: Path | None, split: str) -> LabelledImages:
    """Return one split of a classification dataset by name.

    Raises
    ------
    InputError
        The dataset or split is unknown, the dataset has no label per image, the root is missing, or the data don't
        match the dataset's layout.
    """
    if (kind := find_dataset(name).INFO.kind) != "classification":
        raise InputError(f"dataset {name}: is for {kind}, its images have no class labels")
    return cast(LabelledImages, open_any_split(name, root, split))


def open_any_split(name: str, root: Path | None, split: str) -> Split:
    """Return one split of a dataset of any kind; raises like ``open_split``."""
    module = find_dataset(name)
    if split not in module.INFO.sizes:
        raise InputError(f"dataset {name}: no split {split!r}; allowed: {', '.join(module.INFO.sizes)}")
    if module.INFO.needs_root and root is None:
        raise InputError(f"dataset {name}: no directory given; set data: {{{name}: /path/to/{name}}} in the sweep")
    opened = _OPENED.get()
    if opened is None:
        return module.open_split(root, split)
    key = (name, root, split)
    if key not in opened:
        opened[key] = module.open_split(root, split)
    return opened[key]

"""Finds datasets by name."""

from __future__ import annotations

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
dataset_names, find_dataset = DATASETS.names, DATASETS.find
_OPENED: ContextVar[dict[tuple[str, Path | None, str], Split] | None] = ContextVar("opened splits", default=None)


def describe_datasets() -> list[DatasetInfo]:
    """Return the facts of every dataset that can be imported, sorted by name; reads no data."""
    return [module.INFO for _, module in DATASETS.usable()]


@contextmanager
def opening_once() -> Iterator[None]:
    """Within the block, return one object for all calls that open one split of one directory.

    So a fingerprint describes exactly the images that are used, even if the directory changes in between, and
    ImageNet's million files are listed once. Each block, process and thread has its own objects.
    """
    token = _OPENED.set({})
    try:
        yield
    finally:
        _OPENED.reset(token)


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

"""Datasets by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import cast

from pretrain.datasets.interface import DatasetInfo, DatasetModule, LabelledImages, Split
from pretrain.errors import InputError
from pretrain.plugins import Offers, load_plugin, plugin_names, usable_plugins

PACKAGE, KIND = "pretrain.datasets", "dataset"
OFFERS: Offers = {"INFO": DatasetInfo, "open_split": None, "check": None, "prepare": None}
_OPENED: ContextVar[dict[tuple[str, Path | None, str], Split] | None] = ContextVar("opened splits", default=None)


def dataset_names() -> tuple[str, ...]:
    return plugin_names(PACKAGE)


def find_dataset(name: str) -> DatasetModule:
    return cast(DatasetModule, load_plugin(PACKAGE, name, KIND, OFFERS))


def describe_datasets() -> list[DatasetInfo]:
    """Every dataset that can be imported, sorted by name; reads no data."""
    return [cast(DatasetModule, module).INFO for _, module in usable_plugins(PACKAGE, KIND, OFFERS)]


@contextmanager
def opening_once() -> Iterator[None]:
    """Within the block, whoever opens the same split of the same directory gets the same object.

    So a fingerprint is of the very images that are then computed on, whatever becomes of the directory in between, and
    ImageNet's million files are listed once. Every block, process and thread opens for itself.
    """
    token = _OPENED.set({})
    try:
        yield
    finally:
        _OPENED.reset(token)


def open_split(name: str, root: Path | None, split: str) -> LabelledImages:
    """Open one split of a dataset for classification by name.

    Raises
    ------
    InputError
        Unknown dataset or split, a dataset without a label per image, a missing root, or data that is not what the
        dataset's layout says.
    """
    if (kind := find_dataset(name).INFO.kind) != "classification":
        raise InputError(f"dataset {name}: is for {kind}, its images have no label each")
    return cast(LabelledImages, open_any_split(name, root, split))


def open_any_split(name: str, root: Path | None, split: str) -> Split:
    """Open one split of a dataset of any kind; raises as ``open_split``."""
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

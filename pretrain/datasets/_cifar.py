"""Reads CIFAR-10 and CIFAR-100 in their Python form: pickled batches of 32×32 RGB images.

A batch is a dict with ``data``, uint8 N × 3,072 (a row is 1,024 red, 1,024 green, 1,024 blue pixels, each row by
row), and a list of N labels. Format and files: https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pretrain.datasets._arrays import ArrayImages
from pretrain.datasets._checks import check_files, locate
from pretrain.datasets._pickles import read_plain_pickle
from pretrain.datasets.interface import DatasetInfo
from pretrain.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIDE = 32


@dataclass(frozen=True)
class CifarFiles:
    """File names and keys of one variant.

    Parameters
    ----------
    batches
        File names and published MD5 of each split, in order.
    """

    folder: str
    batches: Mapping[str, Mapping[str, str]]
    labels_key: str

    @property
    def names(self) -> list[str]:
        return [name for split in self.batches.values() for name in split]


def open_cifar(info: DatasetInfo, files: CifarFiles, root: Path | None, split: str) -> ArrayImages:
    """Return one split, with images in the batches' order."""
    import numpy as np

    directory = locate(info, root, files.folder, files.names)
    paths = tuple(directory / name for name in files.batches[split])
    batches = [_read_batch(path, files.labels_key, info.num_classes) for path in paths]
    pixels = np.ascontiguousarray(np.concatenate([batch_pixels for batch_pixels, _ in batches]))
    labels = np.concatenate([batch_labels for _, batch_labels in batches])
    return ArrayImages(info.name, split, pixels, labels, info.num_classes, sources=paths)


def check_cifar(info: DatasetInfo, files: CifarFiles, root: Path | None) -> list[str]:
    return check_files(
        info,
        lambda: locate(info, root, files.folder, files.names),
        lambda directory, split: open_cifar(info, files, directory, split),
        {name: md5 for split in files.batches.values() for name, md5 in split.items()},
    )


def _read_batch(path: Path, labels_key: str, num_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return pixels (uint8, N × 32 × 32 × 3) and labels (int64, N) of one file."""
    import numpy as np

    batch = read_plain_pickle(path)
    if not isinstance(batch, dict) or "data" not in batch or labels_key not in batch:
        raise InputError(f"{path}: not a CIFAR batch; expected a dict with 'data' and {labels_key!r}")
    data, labels = batch["data"], batch[labels_key]
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != 3 * _SIDE * _SIDE:
        raise InputError(f"{path}: 'data' is not an array of N × {3 * _SIDE * _SIDE:,} bytes")
    if not isinstance(labels, list) or len(labels) != len(data):
        raise InputError(f"{path}: {labels_key!r} is not a list of one label for each of the {len(data):,} images")
    if not all(isinstance(label, int) and 0 <= label < num_classes for label in labels):
        raise InputError(f"{path}: a label in {labels_key!r} is not an integer of 0…{num_classes - 1}")
    planes: NDArray[np.uint8] = data.reshape(-1, 3, _SIDE, _SIDE)
    return planes.transpose(0, 2, 3, 1), np.array(labels, dtype=np.int64)

"""The interface of a dataset module."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image


Kind = Literal["classification", "segmentation", "detection"]
"""Kind of annotation: a label per image, a label per pixel, or boxes and masks of objects."""


@dataclass(frozen=True)
class DatasetInfo:
    """Facts about a dataset that are known without its data; for own images, those of the files.

    Parameters
    ----------
    version
        Increased when the split or the labels change; part of every run's id.
    sizes
        Number of images per split; every dataset has the splits ``train`` and ``val``.
    needs_root
        False for data shipped in an installed package.
    classes
        Names of the classes, if neither the files nor the library that reads them has them.
    recipes_of
        Datasets whose recipes apply if none names this dataset, in order of preference.
    """

    name: str
    version: str
    title: str
    num_classes: int
    sizes: Mapping[str, int]
    source: str
    needs_root: bool = True
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    kind: Kind = "classification"
    classes: tuple[str, ...] = ()
    recipes_of: tuple[str, ...] = ()


class NotPublished(str):
    """A sentence of ``check`` that says how the data differ from the published set. Runs may use such data."""

    __slots__ = ()


class Split(Protocol):
    """The interface of a split of any kind."""

    def __len__(self) -> int: ...

    def fingerprint(self) -> str:
        """Return a SHA-256 (hex) of the content: labels, and bytes of arrays or paths and sizes of files."""
        ...


def joint_fingerprint(splits: Mapping[str, Split]) -> str:
    """Return the SHA-256 over the fingerprints of a dataset's splits."""
    content = "".join(f"{split}:{images.fingerprint()}\n" for split, images in sorted(splits.items()))
    return hashlib.sha256(content.encode()).hexdigest()


class LabelledImages(Split, Protocol):
    """A split for classification: indexable images with integer labels in ``[0, num_classes)``."""

    @property
    def num_classes(self) -> int:
        """Number of classes of the labels; a small dataset may have fewer than the published one."""
        ...

    def image(self, index: int) -> Image:
        """Return the decoded RGB image.

        Raises
        ------
        InputError
            The file can't be decoded; the message names it.
        """
        ...

    def label(self, index: int) -> int: ...

    def describe(self, index: int) -> str:
        """Return the image's name for messages: its path, or ``digits[train] 17``."""
        ...


class DatasetModule(Protocol):
    """The attributes of a module in ``pretrain.datasets``."""

    INFO: DatasetInfo

    def open_split(self, root: Path | None, split: str) -> Split: ...

    def check(self, root: Path | None) -> list[str]: ...

    def prepare(self, root: Path | None) -> None: ...

"""What every dataset looks like to the rest of the suite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image


Kind = Literal["classification", "segmentation", "detection"]
"""What the annotations are: a label an image, a label a pixel, or boxes and masks of objects."""


@dataclass(frozen=True)
class DatasetInfo:
    """Facts known without the data.

    Parameters
    ----------
    version
        Bumped when the split or the labels change; part of every run's id.
    sizes
        Images per split; every dataset has the splits ``train`` and ``val``.
    needs_root
        False for data that an installed package carries.
    classes
        Their names, where neither the files nor the library that reads them has them.
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


class NotPublished(str):
    """A sentence of ``check`` on how the data differs from the published set. A run may use such data."""

    __slots__ = ()


class Split(Protocol):
    """What is known of a split of any kind."""

    def __len__(self) -> int: ...

    def fingerprint(self) -> str:
        """SHA-256 (hex) over what identifies the content: labels, and arrays' bytes or files' paths and sizes."""
        ...


class LabelledImages(Split, Protocol):
    """A split for classification: indexable images with integer labels in ``[0, num_classes)``."""

    @property
    def num_classes(self) -> int:
        """How many classes the labels are drawn from; a small tree may have fewer than the published data."""
        ...

    def image(self, index: int) -> Image:
        """The decoded RGB image.

        Raises
        ------
        InputError
            The file can't be decoded; the message names it.
        """
        ...

    def label(self, index: int) -> int: ...

    def describe(self, index: int) -> str:
        """Which image this is, for a message: its path, or ``digits[train] 17``."""
        ...


class DatasetModule(Protocol):
    """The shape of a module in ``pretrain.datasets``."""

    INFO: DatasetInfo

    def open_split(self, root: Path | None, split: str) -> Split: ...

    def check(self, root: Path | None) -> list[str]: ...

    def prepare(self, root: Path | None) -> None: ...

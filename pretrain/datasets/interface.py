"""What every dataset looks like to the rest of the suite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image


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


class LabelledImages(Protocol):
    """A split: indexable images with integer labels in ``[0, num_classes)``."""

    def __len__(self) -> int: ...

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

    def fingerprint(self) -> str:
        """SHA-256 (hex) over what identifies the content: labels, and arrays' bytes or files' paths and sizes."""
        ...


class DatasetModule(Protocol):
    """The shape of a module in ``pretrain.datasets``."""

    INFO: DatasetInfo

    def open_split(self, root: Path | None, split: str) -> LabelledImages: ...

    def check(self, root: Path | None) -> list[str]: ...

    def prepare(self, root: Path | None) -> None: ...

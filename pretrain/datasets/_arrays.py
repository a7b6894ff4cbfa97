"""Splits that fit in memory: one uint8 array of pixels and one array of labels."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pretrain.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """A split held in memory.

    Parameters
    ----------
    pixels
        uint8, N × height × width (grey) or N × height × width × 3 (RGB).
    labels
        int64, N, in ``[0, num_classes)``.
    sources
        The files that the arrays were read from, if the user named a directory.
    """

    name: str
    split: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    num_classes: int
    sources: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image:
        from PIL import Image

        return Image.fromarray(self.pixels[index]).convert("RGB")

    def label(self, index: int) -> int:
        return int(self.labels[index])

    def describe(self, index: int) -> str:
        return f"{self.name}[{self.split}] {index}"

    def fingerprint(self) -> str:
        """Return the SHA-256 of the pixels' shape, the pixels and the labels (little-endian int64)."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        digest.update(self.pixels.tobytes())
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def files(self) -> list[str]:
        return [str(path) for path in self.sources]


def stratified_split(labels: NDArray[np.int64], *, val_per_class: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Return the indices of a fixed split: ``val`` has ``val_per_class`` random images per class, ``train`` the rest.

    Both are ascending.
    """
    import numpy as np

    # RandomState's stream is frozen; default_rng's may change between NumPy versions.
    generator = np.random.RandomState(seed)
    chosen = [generator.permutation(np.flatnonzero(labels == label))[:val_per_class] for label in np.unique(labels)]
    is_val = np.zeros(len(labels), dtype=bool)
    is_val[np.concatenate(chosen)] = True
    return {"train": np.flatnonzero(~is_val), "val": np.flatnonzero(is_val)}


def read_packaged_images(
    name: str, package: str, file: str, *, side: int, largest: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read square grey images from a CSV file of an installed package; a row has the pixels and a label.

    The package is not imported: importing scikit-learn would take longer than reading the file.

    Parameters
    ----------
    file
        Path inside the package.
    largest
        The pixel value of white; pixels are scaled from 0…largest to 0…255.

    Returns
    -------
    Pixels (uint8, N × side × side) and labels (int64, N).
    """
    import numpy as np

    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"dataset {name}: the package {package} that carries it is not installed")
    path = Path(spec.submodule_search_locations[0]) / file
    try:
        rows = np.loadtxt(path, delimiter=",", dtype=np.uint8, ndmin=2)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"dataset {name}: {path} can't be read ({error}); reinstall {package}") from error
    if rows.shape[1] != side * side + 1 or rows[:, :-1].max() > largest:
        raise InputError(
            f"dataset {name}: {path} does not hold {side}×{side} pixels of 0…{largest} and a label a row; "
            f"reinstall {package}"
        )
    scaled = np.rint(rows[:, :-1] * (255 / largest)).astype(np.uint8)
    return scaled.reshape(-1, side, side), rows[:, -1].astype(np.int64)

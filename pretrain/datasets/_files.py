"""Splits of image files: a packed index of relative paths; images are decoded one at a time."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING

from pretrain.datasets._changes import chunked_range, look_at_all
from pretrain.datasets._images import decode_rgb, inspect_file
from pretrain.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


class PackedPaths:
    """An immutable list of paths in one bytes object.

    ImageNet's 1.28 million paths take 50 MB this way, and 150 MB as strings. Forked loader workers share the memory
    pages, because no reference counts are written to them.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        encoded = [os.fsencode(path) for path in paths]
        self.content = b"".join(encoded)
        self.ends = array("q", accumulate(map(len, encoded)))

    @classmethod
    def restored(cls, content: bytes, ends: array[int]) -> PackedPaths:
        """Return the list with this ``content`` and these ``ends``."""
        packed = cls(())
        packed.content, packed.ends = content, ends
        return packed

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> str:
        position = range(len(self.ends))[index]
        start = self.ends[position - 1] if position else 0
        return os.fsdecode(self.content[start : self.ends[position]])


@dataclass(frozen=True, eq=False)
class FileImages:
    """A split of image files.

    Parameters
    ----------
    directory
        Directory that ``paths`` are relative to.
    labels
        One class per path, in ``[0, num_classes)``.
    sources
        Relative paths of the files that list paths and labels, if the folder names don't give them.
    """

    directory: Path
    paths: PackedPaths
    labels: array[int]
    num_classes: int
    sources: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        return self.directory / self.paths[index]

    def image(self, index: int) -> Image:
        return decode_rgb(self.path(index))

    def inspect(self, index: int) -> bool:
        return inspect_file(self.path(index))

    def label(self, index: int) -> int:
        return self.labels[index]

    def describe(self, index: int) -> str:
        return str(self.path(index))

    def fingerprint(self) -> str:
        """Return the SHA-256 of one line per image, in index order: path, size in bytes, label. Reads no content."""
        digest = hashlib.sha256()
        for lines in look_at_all(self._fingerprint_lines, chunked_range(len(self))):
            digest.update(lines)
        return digest.hexdigest()

    def files(self) -> Iterator[str]:
        for relative in chain(self.sources, self.paths):
            yield os.path.join(self.directory, relative)  # noqa: PTH118 - 1.28 M times

    def _fingerprint_lines(self, indices: range) -> bytes:
        lines = []
        for index in indices:
            relative = self.paths[index]
            try:
                size = os.stat(os.path.join(self.directory, relative)).st_size  # noqa: PTH116, PTH118 - 1.28 M times
            except OSError as error:
                raise InputError(f"{self.path(index)}: can't be read ({error.strerror})") from error
            lines.append(b"%s\t%d\t%d\n" % (os.fsencode(relative), size, self.labels[index]))
        return b"".join(lines)

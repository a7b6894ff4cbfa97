"""Splits for segmentation and detection: paths of files that another library reads."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pretrain.datasets._files import FileImages, PackedPaths
from pretrain.errors import InputError

IMAGE_SUFFIX = ".jpg"
_LINES_PER_KIND = 20
"""Number of sentences of one kind to list; the rest are only counted."""


@dataclass(frozen=True, eq=False)
class AnnotatedFiles:
    """A split of images with one mask each, or with one annotation file for all.

    Parameters
    ----------
    directory
        Directory that the paths are relative to.
    images
        Relative paths, ascending.
    annotations
        Relative paths: a mask per image in the images' order, or one JSON file.
    """

    directory: Path
    images: PackedPaths
    annotations: PackedPaths

    def __len__(self) -> int:
        return len(self.images)

    def fingerprint(self) -> str:
        """Return the SHA-256 of every file's relative path and size, and of the content of a JSON file."""
        paths = PackedPaths([*self.images, *self.annotations])
        listing = FileImages(self.directory, paths, array("q", bytes(8 * len(paths))), 0).fingerprint()
        digest = hashlib.sha256(listing.encode())
        for annotation in self.annotations:
            if annotation.endswith(".json"):
                with (self.directory / annotation).open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def files(self) -> Iterator[str]:
        for relative in (*self.images, *self.annotations):
            yield os.path.join(self.directory, relative)  # noqa: PTH118 - as FileImages


def file_names(directory: Path, suffix: str) -> list[str]:
    """Return the names of a directory's files that end in ``suffix``, ascending.

    Raises
    ------
    InputError
        The directory is missing or has no such files.
    """
    names = [name for name in _entries(directory) if name.endswith(suffix)]
    if not names:
        raise InputError("; ".join([f"{directory}: holds no {suffix} files", *unread_entries(directory, suffix)]))
    return names


def unread_entries(directory: Path, suffix: str) -> list[str]:
    """Return one sentence if a directory has folders or files of another suffix, which are not read.

    Hidden entries of another suffix, such as ``.DS_Store``, are ignored.
    """
    if not directory.is_dir():
        return []
    others = [name for name in _entries(directory) if not name.endswith(suffix) and not name.startswith(".")]
    if not others:
        return []
    found = f"{len(others):,} entries are" if len(others) > 1 else "1 entry is"
    return [f"{directory}: {found} not read, such as {printable(others[0])}; only {suffix} files beside it are"]


def shortened(path: Path, lines: Sequence[str]) -> Iterator[str]:
    """Yield the first lines and the number of further ones."""
    yield from lines[:_LINES_PER_KIND]
    if len(lines) > _LINES_PER_KIND:
        yield f"{path}: {len(lines) - _LINES_PER_KIND:,} more of this kind"


def printable(name: str) -> str:
    """Return the name, escaped if it has control characters."""
    return name if name.isprintable() and name.strip() else ascii(name)


def _entries(directory: Path) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries)
    except OSError as error:
        raise InputError(f"{directory}: can't be read ({error.strerror})") from error

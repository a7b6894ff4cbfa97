"""Splits for segmentation and detection: where the files are, for a library that reads them itself."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pretrain.datasets._files import FileImages, PackedPaths
from pretrain.errors import InputError

IMAGE_SUFFIX = ".jpg"


@dataclass(frozen=True, eq=False)
class AnnotatedFiles:
    """A split of images with a mask each, or with one annotation file for all of them.

    Parameters
    ----------
    directory
        What the paths are relative to.
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
        """SHA-256 over every file's relative path and size, and over the whole of a JSON file."""
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
    """Names of the files in a directory that end in ``suffix``, ascending.

    Raises
    ------
    InputError
        No such directory, or none of them in it.
    """
    try:
        with os.scandir(directory) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(suffix))
    except OSError as error:
        raise InputError(f"{directory}: can't be read ({error.strerror})") from error
    if not names:
        raise InputError(f"{directory}: holds no {suffix} files")
    return names

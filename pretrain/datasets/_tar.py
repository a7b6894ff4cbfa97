"""Reads tar shards in webdataset's layout: files with many pairs of an image ``key.jpg`` and a class ``key.cls``.

webdataset streams a shard from its start. Training here visits images in a new random order each epoch, and can resume
within an epoch. So an index holds each image's shard and position, and an image is one read. Building the index reads
every member's header, as slow as walking through the files, so the index is saved (``_tar_index``).
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pretrain.datasets._files import PackedPaths
from pretrain.datasets._folder import IMAGE_EXTENSIONS
from pretrain.datasets._images import EncodedImages
from pretrain.errors import InputError

LABEL_EXTENSION = ".cls"

_THREADS = 16
_LONGEST_LABEL_BYTES = 100
"""Longest content of a ``.cls`` file that can be a class number."""

_MEMBER = re.compile(r"((?:.*/)?[^./]+)(\.[^/]*)")
_NUMBERED = re.compile(r"(.*?)(\d+)(\.tar)")


class Member(NamedTuple):
    """An image in a shard: its name, its class and the position of its bytes."""

    label: int
    name: str
    shard: int
    offset: int
    size: int


@dataclass(frozen=True, eq=False)
class TarImages(EncodedImages):
    """A split of images in tar shards.

    Parameters
    ----------
    names
        Names of the images in their shards.
    shard_of, offsets, sizes, labels
        One number per image; ``offsets`` and ``sizes`` are bytes.
    """

    shards: tuple[Path, ...]
    names: PackedPaths
    shard_of: array[int]
    offsets: array[int]
    sizes: array[int]
    labels: array[int]
    num_classes: int

    def _content(self, index: int) -> bytes:
        shard = self.shards[self.shard_of[index]]
        try:
            # Open the shard for each image, so that processes share no file descriptor.
            with shard.open("rb", buffering=0) as file:
                return os.pread(file.fileno(), self.sizes[index], self.offsets[index])
        except OSError as error:
            raise InputError(f"{shard}: can't be read ({error.strerror})") from error

    def describe(self, index: int) -> str:
        return f"{self.shards[self.shard_of[index]]}, {self.names[index]}"

    def fingerprint(self) -> str:
        """Return the SHA-256 of one line per image, in index order: name, size in bytes, label. Shards don't matter."""
        digest = hashlib.sha256()
        for name, size, label in zip(self.names, self.sizes, self.labels, strict=True):
            digest.update(b"%s\t%d\t%d\n" % (os.fsencode(name), size, label))
        return digest.hexdigest()

    def files(self) -> list[str]:
        return [str(shard) for shard in self.shards]


def read_members(shards: Sequence[Path], num_classes: int) -> list[Member]:
    """Return all images of the shards, sorted by class, then name, so that the packing does not matter.

    Raises
    ------
    InputError
        A shard can't be read to its end, an image has no class, or a class has no image.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda number: _read_shard(number, shards[number], num_classes), range(len(shards)))
        return sorted(member for members in found for member in members)


def missing_shards(shards: Sequence[Path]) -> list[str]:
    """Return the names that are missing in a numbered series of shards."""
    numbered = [match for shard in shards if (match := _NUMBERED.fullmatch(shard.name))]
    missing = []
    for before, after in sorted({match.group(1, 3) for match in numbered}):
        digits = {int(match[2]): len(match[2]) for match in numbered if match.group(1, 3) == (before, after)}
        missing += [
            f"{before}{number:0{max(digits.values())}}{after}" for number in range(max(digits)) if number not in digits
        ]
    return missing


def _read_shard(number: int, shard: Path, num_classes: int) -> list[Member]:
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, int] = {}
    try:
        with shard.open("rb") as file:
            for member in _members(file, shard):
                if not (match := _MEMBER.fullmatch(member.name)):
                    continue
                key, extension = match[1], match[2].lower()
                if extension not in (LABEL_EXTENSION, *IMAGE_EXTENSIONS):
                    continue
                if member.name.startswith("/") or ".." in member.name.split("/"):
                    raise InputError(f"{shard}: member {member.name!r} leads out of the archive; pack it relative")
                if member.issparse():
                    raise InputError(f"{shard}: member {member.name} is stored sparsely; pack it without --sparse")
                if extension == LABEL_EXTENSION:
                    if key in labels:
                        raise InputError(f"{shard}: holds two labels {member.name}")
                    text = os.pread(file.fileno(), min(member.size, _LONGEST_LABEL_BYTES), member.offset_data)
                    labels[key] = _class_number(text, num_classes, f"{shard}, {member.name}")
                else:
                    if key in images:
                        raise InputError(f"{shard}: holds two images {key}, {images[key].name} and {member.name}")
                    images[key] = member
    except OSError as error:
        raise InputError(f"{shard}: can't be read ({error.strerror})") from error
    if unlabelled := sorted(images.keys() - labels.keys()):
        raise InputError(f"{shard}: image {images[unlabelled[0]].name} has no label {unlabelled[0]}{LABEL_EXTENSION}")
    if without_image := sorted(labels.keys() - images.keys()):
        raise InputError(f"{shard}: label {without_image[0]}{LABEL_EXTENSION} has no image")
    if not images:
        raise InputError(f"{shard}: holds no images; expected pairs such as key.jpg and key{LABEL_EXTENSION}")
    return [Member(labels[key], m.name, number, m.offset_data, m.size) for key, m in images.items()]


def _members(file: BinaryIO, shard: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the regular files of a tar archive; check that it ends with a block of zeros."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if member.isreg():
                    yield member
            end = archive.offset
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise InputError(f"{shard}: not a whole tar archive ({error})") from error
    # tarfile treats a damaged header as the end of the archive.
    block = os.pread(file.fileno(), tarfile.BLOCKSIZE, end)
    if len(block) < tarfile.BLOCKSIZE or any(block):
        raise InputError(f"{shard}: not a whole tar archive (it is damaged or cut off at byte {end:,})")


def _class_number(text: bytes, num_classes: int, where: str) -> int:
    if not text.strip().isdigit() or int(text) >= num_classes:
        raise InputError(f"{where}: holds {text[:20]!r}; allowed: a class number, 0…{num_classes - 1}")
    return int(text)

"""Tar shards as the webdataset library reads them: an image ``key.jpg`` and its class number ``key.cls``, many a file.

webdataset streams shards from their beginning. Training here visits images in an order that is drawn anew for every
epoch and picks up in the middle of one, so an index says where in which shard each image lies, and an image is one
read. Building the index reads the header of every member, which takes as long as walking through the files; it is
therefore kept (``_tar_index``).
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
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pretrain.datasets._files import PackedPaths
from pretrain.datasets._folder import IMAGE_EXTENSIONS
from pretrain.datasets._images import decode_rgb_bytes, inspect_bytes
from pretrain.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

LABEL_EXTENSION = ".cls"

_THREADS = 16
_LONGEST_LABEL_BYTES = 100
"""A longer one is no class number."""

_MEMBER = re.compile(r"((?:.*/)?[^./]+)(\.[^/]*)")
_NUMBERED = re.compile(r"(.*?)(\d+)(\.tar)")


class Member(NamedTuple):
    """An image in a shard: its name there, its class, and where its bytes are."""

    label: int
    name: str
    shard: int
    offset: int
    size: int


@dataclass(frozen=True, eq=False)
class TarImages:
    """A split of images in tar shards.

    Parameters
    ----------
    names
        Of the images in their shards.
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

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image:
        return decode_rgb_bytes(self._content(index), self.describe(index))

    def inspect(self, index: int) -> bool:
        return inspect_bytes(self._content(index), self.describe(index))

    def _content(self, index: int) -> bytes:
        shard = self.shards[self.shard_of[index]]
        try:
            # Opened for every image, as a file of its own would be: no descriptor is shared between processes.
            with shard.open("rb", buffering=0) as file:
                return os.pread(file.fileno(), self.sizes[index], self.offsets[index])
        except OSError as error:
            raise InputError(f"{shard}: can't be read ({error.strerror})") from error

    def label(self, index: int) -> int:
        return self.labels[index]

    def describe(self, index: int) -> str:
        return f"{self.shards[self.shard_of[index]]}, {self.names[index]}"

    def fingerprint(self) -> str:
        """SHA-256 over one line per image, in index order: name, size in bytes, label; shards don't matter."""
        digest = hashlib.sha256()
        for name, size, label in zip(self.names, self.sizes, self.labels, strict=True):
            digest.update(b"%s\t%d\t%d\n" % (os.fsencode(name), size, label))
        return digest.hexdigest()

    def files(self) -> list[str]:
        return [str(shard) for shard in self.shards]


def read_members(shards: Sequence[Path], num_classes: int) -> list[Member]:
    """All images of the shards, class by class and sorted by name within a class, so that packing does not matter.

    Raises
    ------
    InputError
        A shard that can't be read to its end, or an image without its class or a class without its image.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda number: _read_shard(number, shards[number], num_classes), range(len(shards)))
        return sorted(member for members in found for member in members)


def missing_shards(shards: Sequence[Path]) -> list[str]:
    """Names that are left out where shards are numbered."""
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
    if lonely := sorted(labels.keys() - images.keys()):
        raise InputError(f"{shard}: label {lonely[0]}{LABEL_EXTENSION} has no image")
    if not images:
        raise InputError(f"{shard}: holds no images; expected pairs such as key.jpg and key{LABEL_EXTENSION}")
    return [Member(labels[key], m.name, number, m.offset_data, m.size) for key, m in images.items()]


def _members(file: BinaryIO, shard: Path) -> Iterator[tarfile.TarInfo]:
    """The regular files of a tar archive, up to the block of zeros that ends it."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if member.isreg():
                    yield member
            end = archive.offset
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise InputError(f"{shard}: not a whole tar archive ({error})") from error
    # tarfile takes a damaged header for the end.
    block = os.pread(file.fileno(), tarfile.BLOCKSIZE, end)
    if len(block) < tarfile.BLOCKSIZE or any(block):
        raise InputError(f"{shard}: not a whole tar archive (it is damaged or cut off at byte {end:,})")


def _class_number(text: bytes, num_classes: int, where: str) -> int:
    if not text.strip().isdigit() or int(text) >= num_classes:
        raise InputError(f"{where}: holds {text[:20]!r}; allowed: a class number, 0…{num_classes - 1}")
    return int(text)

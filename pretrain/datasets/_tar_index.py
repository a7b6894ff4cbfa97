"""Saves the index of tar shards between runs.

The index is in ``$XDG_CACHE_HOME/opera-bench`` (``~/.cache/opera-bench``), because the shards' directory is often
read-only and shared. Its name depends on the shards' paths, sizes and change times, so a changed shard gets a new
index. If the index can't be written, it is rebuilt every time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pretrain.datasets._files import PackedPaths
from pretrain.datasets._images import file_kind
from pretrain.datasets._tar import Member, TarImages, read_members
from pretrain.errors import InputError

_FORMAT = "tar index 1"
_NUMBERS = ("shard_of", "offsets", "sizes", "labels")


def open_shards(shards: Sequence[Path], num_classes: int) -> TarImages:
    """Return the images of tar shards, from the saved index or from the shards.

    Parameters
    ----------
    num_classes
        Upper bound of labels; the split has as many classes as its largest label shows.

    Raises
    ------
    InputError
        A shard is missing or damaged, or has an image without a label.
    """
    kept = _index_path(shards, num_classes)
    if images := _load(kept, shards):
        return images
    images = _pack(shards, read_members(shards, num_classes))
    with contextlib.suppress(OSError):
        _save(kept, images)
    return images


def _index_path(shards: Sequence[Path], num_classes: int) -> Path:
    digest = hashlib.sha256(f"{_FORMAT}, {num_classes} classes\n".encode())
    for shard in shards:
        if kind := file_kind(shard):
            raise InputError(f"{shard}: is {kind}, not a tar archive")
        try:
            status = shard.stat()
        except OSError as error:
            raise InputError(f"{shard}: can't be read ({error.strerror})") from error
        digest.update(os.fsencode(shard.absolute()) + b"\t%d\t%d\n" % (status.st_size, status.st_ctime_ns))
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "opera-bench" / f"tar-index-{digest.hexdigest()[:32]}.npz"


def _pack(shards: Sequence[Path], members: Sequence[Member]) -> TarImages:
    return TarImages(
        tuple(shards),
        PackedPaths(member.name for member in members),
        shard_of=array("q", (member.shard for member in members)),
        offsets=array("q", (member.offset for member in members)),
        sizes=array("q", (member.size for member in members)),
        labels=array("q", (member.label for member in members)),
        num_classes=1 + members[-1].label,
    )


def _save(path: Path, images: TarImages) -> None:
    import numpy as np

    columns: dict[str, Any] = {name: np.frombuffer(getattr(images, name), np.int64) for name in _NUMBERS}
    columns["names"] = np.frombuffer(images.names.content, np.uint8)
    columns["ends"] = np.frombuffer(images.names.ends, np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **columns)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _load(path: Path, shards: Sequence[Path]) -> TarImages | None:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            columns = {name: array("q", stored[name].tobytes()) for name in ("ends", *_NUMBERS)}
            names = PackedPaths.restored(stored["names"].tobytes(), columns.pop("ends"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return TarImages(tuple(shards), names, **columns, num_classes=1 + columns["labels"][-1])

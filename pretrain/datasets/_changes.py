"""Detects changes of the files of a split by their sizes and times, without reading content."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

_THREADS = 16
_CHUNK = 1024
_ROUND_TRIP_SECONDS = 5e-5
"""A stat call that takes longer goes over a network or to a spinning disk."""

_Chunk = TypeVar("_Chunk", list[str], range)


@runtime_checkable
class OnDisk(Protocol):
    """A split that is read from files."""

    def files(self) -> Iterable[str]:
        """Return the path of every file from which images, labels or annotations are read."""
        ...


def digest_statuses(files: Iterable[str], root: Path) -> str:
    """Return the SHA-256 of path, size and change time (ctime) of every file, and of the change times of their folders.

    A file rewritten with its old size and modification time still gets another ctime. Adding, removing or renaming a
    file changes its folder. Folders below ``root`` count, ``root`` itself does not. For ImageNet's 1.28 million files
    this takes about as long as a fingerprint.

    Raises
    ------
    OSError
        A file or folder is missing or can't be accessed.
    """
    digest = hashlib.sha256()
    folders: set[str] = set()

    def look(paths: list[str]) -> bytes:
        lines = []
        for path in paths:
            status = os.stat(path)  # noqa: PTH116 - 1.28 M times
            lines.append(b"%s\t%d\t%d\n" % (os.fsencode(path), status.st_size, status.st_ctime_ns))
            folders.add(path.rpartition("/")[0])
        return b"".join(lines)

    for lines in look_at_all(look, chunked(files)):
        digest.update(lines)
    for above in sorted({str(above) for folder in folders for above in _folders_below(Path(folder), root)}):
        digest.update(b"%s\t%d\n" % (os.fsencode(above), Path(above).stat().st_ctime_ns))
    return digest.hexdigest()


def look_at_all(look: Callable[[_Chunk], bytes], chunks: Iterable[_Chunk]) -> Iterator[bytes]:
    """Yield ``look(chunk)`` for each chunk of files, in order; use threads if the first calls are slow.

    On a network file system threads wait for many round trips at once. On a fast disk they would only add overhead.
    """
    waiting = iter(chunks)
    for first in islice(waiting, 1):
        begun = time.perf_counter()
        yield look(first)
        is_slow = time.perf_counter() - begun > len(first) * _ROUND_TRIP_SECONDS
        threads = _THREADS if is_slow else 1
        with ThreadPoolExecutor(threads) as pool:
            while some := list(islice(waiting, threads)):
                yield from pool.map(look, some)


def chunked_range(count: int) -> Iterator[range]:
    """Yield the indices below ``count`` in ranges of ``_CHUNK``."""
    return (range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))


def chunked(paths: Iterable[str]) -> Iterator[list[str]]:
    """Yield the paths in lists of ``_CHUNK``."""
    waiting = iter(paths)
    while chunk := list(islice(waiting, _CHUNK)):
        yield chunk


def _folders_below(folder: Path, root: Path) -> Iterator[Path]:
    while folder != root and folder.is_relative_to(root):
        yield folder
        folder = folder.parent

"""Whether the files that a split is read from have changed: sizes and times, no content."""

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
"""A look that takes longer than this is one over a network, or at a disk that has to move."""

_Chunk = TypeVar("_Chunk", list[str], range)


@runtime_checkable
class OnDisk(Protocol):
    """A split that is read from files."""

    def files(self) -> Iterable[str]:
        """Path of every file that images, labels or annotations are read from."""
        ...


def digest_statuses(files: Iterable[str], root: Path) -> str:
    """SHA-256 over path, size and time of the last change of every file, and over the times of their folders.

    A file that is rewritten at its old size, also with its old modification time, has another time of change. A file
    that is added, removed or renamed changes its folder. Folders count below ``root``, without ``root`` itself.
    ImageNet's 1.28 million files take about as long as a fingerprint.

    Raises
    ------
    OSError
        A file or folder is not there or can't be looked at.
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
    """What ``look`` returns for each chunk of files, in order; from threads if the first looks were slow.

    Threads wait for many round trips at once. Where there is nothing to wait for, they only stand in line.
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
    """The indices below ``count`` in ranges of as many as are looked at in one go."""
    return (range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))


def chunked(paths: Iterable[str]) -> Iterator[list[str]]:
    """The paths in lists of as many as are looked at in one go."""
    waiting = iter(paths)
    while chunk := list(islice(waiting, _CHUNK)):
        yield chunk


def _folders_below(folder: Path, root: Path) -> Iterator[Path]:
    while folder != root and folder.is_relative_to(root):
        yield folder
        folder = folder.parent

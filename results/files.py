"""Reading files that somebody else may have put there."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LARGEST_BYTES = 64 << 20
"""Far above any record, configuration, list of attempts or curve: a curve has some hundred rows."""


def read_regular(path: Path) -> bytes:
    """The content of a regular file of at most ``LARGEST_BYTES``.

    Raises
    ------
    OSError
        The file can't be read, is larger, or is a directory, a FIFO or a device: opening a FIFO would wait for ever.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if found.st_size > LARGEST_BYTES:
            raise OSError(errno.EFBIG, f"larger than {LARGEST_BYTES >> 20} MiB", str(path))
        return file.read()


def is_present(path: Path) -> bool:
    """Whether a directory has an entry of this name, be it a link to nowhere.

    Raises
    ------
    OSError
        The directory can't be searched, or is none, so that nobody can say.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True

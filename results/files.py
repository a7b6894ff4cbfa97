"""Reads files of run directories safely: a run directory may hold FIFOs, devices and huge files."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LARGEST_BYTES = 64 << 20
"""Size limit of ``read_regular``, 64 MiB: far above any record, configuration, list of attempts or curve."""


def read_regular(path: Path) -> bytes:
    """The content of a regular file of at most ``LARGEST_BYTES`` bytes.

    Raises
    ------
    OSError
        The file can't be read, is larger, or is a directory, a FIFO (a blocking read could wait forever) or a device.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if found.st_size > LARGEST_BYTES:
            raise OSError(errno.EFBIG, f"larger than {LARGEST_BYTES >> 20} MiB", str(path))
        return file.read()


def is_present(path: Path) -> bool:
    """Whether ``path`` exists; a dangling symbolic link counts.

    Raises
    ------
    OSError
        The parent is not a directory or can't be searched.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True

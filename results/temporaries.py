"""Temporary files beneath a runs directory: how a writer marks its own, and which ones nobody writes any more.

A temporary file is called ``.<name>.tmp`` or ``.<name>.<process>.tmp``. Its writer holds a lock on it, or the lock of
the run or of the submissions that it lies beneath. A lock ends with its process, also on another host, whereas a
process's number says nothing on another host and comes round again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

_OUR_FOLDERS = (".slurm", ".sweeps", "report")
_OF_A_RUN = ("config.yaml", "record.json", "lock")
"""A run's directory has one of these files, or only the temporary file of its configuration."""
_SUBMITTED_CODE = "code"
"""Beneath ``.slurm``: thousands of files, none of them temporary."""


def open_locked(temporary: Path) -> IO[str]:
    """A new text file that this process holds a lock on."""
    while True:
        file = temporary.open("w", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, temporary):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # another process took the file for a dead writer's, before it was locked, and removed it


def remove_temporaries(runs_directory: Path) -> None:
    """Remove the temporary files of dead writers everywhere beneath a runs directory.

    A file that can't be removed stays for the next command.
    """
    for folder, folders, names in os.walk(runs_directory):
        if Path(folder) == runs_directory:
            folders[:] = [name for name in folders if _is_ours(runs_directory / name)]
        elif Path(folder).parent == runs_directory and _SUBMITTED_CODE in folders:
            folders.remove(_SUBMITTED_CODE)
        remove_temporaries_among((Path(folder) / name for name in names), runs_directory)


def _is_ours(folder: Path) -> bool:
    """Whether the suite made a folder of the runs directory; ``--runs .`` may stand among other people's projects."""
    if folder.name in _OUR_FOLDERS:
        return True
    try:
        return any((folder / name).exists() for name in _OF_A_RUN) or any(folder.glob(".config.yaml.*.tmp"))
    except OSError:
        return False


def remove_temporaries_among(paths: Iterable[Path], runs_directory: Path) -> None:
    """Remove the temporary files of dead writers among paths at or beneath ``runs_directory``."""
    for path in paths:
        if not (path.name.startswith(".") and path.name.endswith(".tmp")):
            continue
        run_lock = runs_directory / path.relative_to(runs_directory).parts[0] / "lock"
        with contextlib.suppress(OSError), _unlocked(run_lock) as is_free, _unlocked(path) as is_abandoned:
            if is_free and is_abandoned:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _unlocked(path: Path) -> Iterator[bool]:
    """Whether no process holds a lock on a file. None starts to while the block runs; a missing file has no holder."""
    if not path.exists():
        yield True
        return
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether ``path`` still names this open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False

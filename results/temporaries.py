"""Creates locked temporary files in a runs directory, and removes temporary files whose writer is dead.

A temporary file is called ``.<name>.tmp`` or ``.<name>.<process id>.tmp``. Its writer locks the file itself, or holds
the ``lock`` file of the run or of the submissions. A lock ends with its process, on other hosts too; a process id means
nothing on another host and is reused.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

_OUR_FOLDERS = (".slurm", ".sweeps", "report")
_RUN_FILES = ("config.yaml", "record.json", "lock")
"""Names that identify a run directory. A new one may hold only the temporary file of its configuration."""
_SUBMITTED_CODE = "code"
"""Folder in ``.slurm`` with thousands of files and no temporary ones; the search skips it."""


def open_locked(temporary: Path) -> IO[str]:
    """Open a new text file and lock it."""
    while True:
        file = temporary.open("w", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_same_file(file, temporary):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # another process removed the file before it was locked


def remove_temporaries(runs_directory: Path) -> None:
    """Remove the temporary files of dead writers everywhere below a runs directory.

    Files that can't be removed stay.
    """
    for folder, folders, names in os.walk(runs_directory):
        if Path(folder) == runs_directory:
            folders[:] = [name for name in folders if _is_ours(runs_directory / name)]
        elif Path(folder).parent == runs_directory and _SUBMITTED_CODE in folders:
            folders.remove(_SUBMITTED_CODE)
        remove_temporaries_among((Path(folder) / name for name in names), runs_directory)


def _is_ours(folder: Path) -> bool:
    """Whether the suite made this folder. With ``--runs .``, the runs directory may hold unrelated folders."""
    if folder.name in _OUR_FOLDERS:
        return True
    try:
        return any((folder / name).exists() for name in _RUN_FILES) or any(folder.glob(".config.yaml.*.tmp"))
    except OSError:
        return False


def remove_temporaries_among(paths: Iterable[Path], runs_directory: Path) -> None:
    """Remove the temporary files of dead writers among ``paths``, all of which lie below ``runs_directory``."""
    for path in paths:
        if not (path.name.startswith(".") and path.name.endswith(".tmp")):
            continue
        run_lock = runs_directory / path.relative_to(runs_directory).parts[0] / "lock"
        with contextlib.suppress(OSError), _unlocked(run_lock) as is_free, _unlocked(path) as is_abandoned:
            if is_free and is_abandoned:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _unlocked(path: Path) -> Iterator[bool]:
    """Yield whether a file is missing or unlocked; no process can lock an existing file while the block runs."""
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


def _is_same_file(file: IO[str], path: Path) -> bool:
    """Whether ``path`` still names the open ``file``."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False

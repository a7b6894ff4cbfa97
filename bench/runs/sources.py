"""Compares the files that imports read with those on disk: a file may be replaced under its old name.

The SHA-256 of a file is kept in the user's cache, with the file's inode, size and times. While these are unchanged, the
file is not read again. If the cache can't be read or written, the file is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.plan.graph import IMPORT, PlannedRun
from bench.sweep.errors import INPUT_ERRORS, InputError
from pretrain.checkpoint import file_sha256
from pretrain.foreign.parts.reading import weights_file
from results.record import read_record
from results.runs import RunDirectory, RunState, write_atomically

STARTED = frozenset({RunState.DONE, RunState.WAITING, RunState.RUNNING})
"""States in which an import has read its file or is going to read it."""
_UNREADABLE: tuple[type[Exception], ...] = (*INPUT_ERRORS, OSError)
"""Errors of a file, folder or record that can't be read."""


@dataclass(frozen=True)
class _Known:
    """A file's SHA-256, and the inode, size and times that the file had when it was read."""

    status: list[int]
    sha256: str


def note_sources(runs: Iterable[PlannedRun], runs_directory: Path) -> None:
    """Write which file each import is going to read, for sweeps that find it queued or running."""
    for run in runs:
        if run.source is not None and run.config[IMPORT]["sha256"] is None:
            write_atomically(RunDirectory(runs_directory / run.run_id).source, f"{_resolved(run.source)}\n")


def require_same_sources(runs: Iterable[PlannedRun], runs_directory: Path) -> None:
    """Compare each import's file with the one that the import has read or is going to read, unless ``sha256`` is given.

    Raises
    ------
    InputError
        They differ: the file was replaced, or another sweep imports a file of the same name.
    """
    for run, path in _undeclared_sources(runs):
        run_directory = RunDirectory(runs_directory / run.run_id)
        if run_directory.record.exists():
            read = _imported(run_directory)
        elif run_directory.source.exists():
            noted = Path(run_directory.source.read_text(encoding="utf-8").removesuffix("\n"))
            read = {_sha256(weights_file(noted))} if noted.exists() and noted != path else set()
        else:
            read = set()
        if read and (found := _sha256(weights_file(path))) not in read:
            raise InputError(
                f"checkpoint {path}: its SHA-256 is not that of the file of this name which {run.run_id} imports; "
                f"add sha256: {found} to its entry, which makes it another run"
            )


def changed_sources(runs: Iterable[PlannedRun], runs_directory: Path) -> Iterator[str]:
    """Yield a sentence for each import whose file has changed since its SHA-256 was last computed.

    Reads no file of weights: a file whose SHA-256 is not in the user's cache is not compared.

    Parameters
    ----------
    runs
        Runs that are done.
    """
    for run, path in _undeclared_sources(runs):
        try:
            file = weights_file(path)
            known, status = _read_cache(file), _status(file)
            imported = _imported(RunDirectory(runs_directory / run.run_id))
        except _UNREADABLE:  # the run is done without the file, and this is only a hint
            continue
        if known is None:
            continue
        if known.status != status:
            yield (
                f"checkpoint {path}: its size, dates or inode have changed since it was read for {run.run_id}; "
                "to compare its content: opera-bench plan SWEEP"
            )
        elif known.sha256 not in imported:
            yield f"checkpoint {path}: its SHA-256 is not that of the file of this name which {run.run_id} imported"


def _undeclared_sources(runs: Iterable[PlannedRun]) -> Iterator[tuple[PlannedRun, Path]]:
    """Yield the imports without ``sha256`` whose file exists, and the file or folder."""
    for run in runs:
        if run.source is not None and run.config[IMPORT]["sha256"] is None and (path := _resolved(run.source)).exists():
            yield run, path


def _imported(run_directory: RunDirectory) -> set[str]:
    return {file.sha256 for file in read_record(run_directory.record).checkpoints if file.role == "source"}


def _resolved(source: str) -> Path:
    return Path(source).expanduser().resolve()


def _sha256(file: Path) -> str:
    """Return the file's SHA-256, and keep it in the user's cache."""
    status, known = _status(file), _read_cache(file)
    if known is not None and known.status == status:
        return known.sha256
    digest = file_sha256(file)
    with contextlib.suppress(OSError):
        _cache_file(file).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(_cache_file(file), json.dumps({"status": status, "sha256": digest}) + "\n")
    return digest


def _status(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _read_cache(file: Path) -> _Known | None:
    try:
        return _Known(**json.loads(_cache_file(file).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _cache_file(file: Path) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "opera-bench" / "imported"
    return cache / f"{hashlib.sha256(os.fsencode(file)).hexdigest()[:16]}.json"

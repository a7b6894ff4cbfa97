"""Files that a method needs beside the images. Their SHA-256 belongs to a run's id; their path does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pretrain.checkpoint import file_sha256
from pretrain.errors import InputError

VARIABLE = "OPERA_BENCH_ASSETS"
"""Environment variable with the directories that hold such files, separated as in PATH; SLURM hands it to jobs."""


def find_asset(sha256: str, *, setting: str, what: str) -> Path:
    """Return the file with this content.

    Parameters
    ----------
    setting
        The option that gives ``sha256``, for the error message.
    what
        What the file holds, e.g. "a tokenizer".

    Raises
    ------
    InputError
        No directory that the environment variable names has such a file.
    """
    given = os.environ.get(VARIABLE, "")
    for path in _files(given):
        if file_sha256(path) == sha256:
            return path
    where = f"in {VARIABLE}={given}" if given else f"because {VARIABLE} is not set"
    raise InputError(
        f"{setting}: found no file with the SHA-256 {sha256} {where}; type export {VARIABLE}=DIRECTORY with the "
        f"directory that holds {what}",
        key=(setting,),
    )


def _files(directories: str) -> Iterator[Path]:
    for directory in filter(None, directories.split(os.pathsep)):
        if Path(directory).is_dir():
            yield from (path for path in sorted(Path(directory).iterdir()) if path.is_file())

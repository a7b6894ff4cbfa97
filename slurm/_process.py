"""What every executor does in a job's process: hide a foreign process group, open the log, call the function."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

_MAX_REASON_CHARACTERS = 2000
_GROUP_NAMES = frozenset(
    {
        *("MASTER_ADDR", "MASTER_PORT", "MASTER_LISTEN_FD", "PROCESS_GROUP_NAME"),
        *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "NNODES"),
        *("GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_NAME", "ROLE_RANK", "ROLE_WORLD_SIZE"),
    }
)
_GROUP_PREFIXES = ("TORCHELASTIC_",)


def call(function: str, arguments: str) -> None:
    """Call ``package.module:name`` with keyword arguments given as a JSON object."""
    module, _, name = function.partition(":")
    getattr(importlib.import_module(module), name)(**json.loads(arguments))


def describe(error: BaseException) -> str:
    """Return the error's type and message, such as ``ValueError: negative epochs``."""
    message = str(error)
    kind = type(error).__name__
    return f"{kind}: {message}"[:_MAX_REASON_CHARACTERS] if message else kind


def redirect_to(log_path: Path) -> None:
    """Append standard output and error to ``log_path`` at the level of file descriptors; make standard input empty."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(null)
    sys.stdout, sys.stderr = _text_stream(1), _text_stream(2)


def _text_stream(descriptor: int) -> TextIO:
    """Return a line-buffered text stream, so that lines printed before a kill -9 are in the log."""
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def without_group(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of ``environment`` without the variables that would make a job join a foreign process group."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _GROUP_NAMES and not name.startswith(_GROUP_PREFIXES)
    }


@contextlib.contextmanager
def group_hidden() -> Iterator[None]:
    """Remove the variables of a process group from this process's environment; restore them afterwards."""
    kept = dict(os.environ)
    hidden = kept.keys() - without_group(kept).keys()
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update({name: kept[name] for name in hidden})

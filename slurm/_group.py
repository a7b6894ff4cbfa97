"""The environment variables through which the processes of one job find each other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

_NAMES = frozenset(
    {
        *("MASTER_ADDR", "MASTER_PORT", "MASTER_LISTEN_FD", "PROCESS_GROUP_NAME"),
        *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "NNODES"),
        *("GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_NAME", "ROLE_RANK", "ROLE_WORLD_SIZE"),
    }
)
_PREFIXES = ("TORCHELASTIC_",)


def without_group(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of ``environment`` without the variables that would make a job join a foreign process group."""
    return {name: value for name, value in environment.items() if name not in _NAMES and not name.startswith(_PREFIXES)}


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

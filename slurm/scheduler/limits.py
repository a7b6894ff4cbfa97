"""How much a cluster lets a user submit."""

from __future__ import annotations

import contextlib
import getpass
import re
import subprocess
from dataclasses import dataclass

from slurm.scheduler.profile import ClusterProfile

DEFAULT_MAX_ARRAY_SIZE = 1001
"""SLURM's own default of MaxArraySize."""


@dataclass(frozen=True)
class Limits:
    """``array_size`` jobs an array at most, ``submitted_jobs`` in the queue at once (None: no limit is known)."""

    array_size: int
    submitted_jobs: int | None


def read_limits(profile: ClusterProfile) -> Limits:
    """What the profile sets, else what the cluster says, else SLURM's defaults."""
    array_size = profile.max_array_size
    if array_size is None:
        # The largest index is one less than MaxArraySize, and indices start at 0.
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _output("scontrol", "show", "config"), re.MULTILINE)
        array_size = max(int(found[1]), 1) if found else DEFAULT_MAX_ARRAY_SIZE
    submitted = profile.max_submitted_jobs
    return Limits(array_size, _association_limit() if submitted is None else submitted)


def _association_limit() -> int | None:
    """The strictest MaxSubmitJobs of this user's associations and of the QOS they default to."""
    text = _output(
        "sacctmgr", "--noheader", "--parsable2", "show", "association", f"user={getpass.getuser()}", "format=MaxSubmit"
    )
    numbers = [int(line) for line in text.split() if line.isdecimal()]
    return min(numbers, default=None)


def _output(*command: str) -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return ""

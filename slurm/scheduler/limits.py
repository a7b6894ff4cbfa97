"""Limits of a cluster on submitted jobs."""

from __future__ import annotations

import contextlib
import getpass
import re
import subprocess
from dataclasses import dataclass

from slurm.scheduler.commands import run_client
from slurm.scheduler.profile import ClusterProfile

DEFAULT_MAX_ARRAY_SIZE = 1001
"""SLURM's default of MaxArraySize."""
SLURMS_DEFAULT_QOS = "normal"


@dataclass(frozen=True)
class Limits:
    """``array_size``: most jobs per array; ``submitted_jobs``: most jobs in the queue (None if no limit is known)."""

    array_size: int
    submitted_jobs: int | None


def read_limits(profile: ClusterProfile) -> Limits:
    """Return the limits of the profile; for missing ones, those of the cluster, then SLURM's defaults."""
    array_size = profile.max_array_size
    configuration = _output("scontrol", "show", "config")
    if array_size is None:
        # The largest array index is MaxArraySize - 1, and indices start at 0.
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", configuration, re.MULTILINE)
        array_size = max(int(found[1]), 1) if found else DEFAULT_MAX_ARRAY_SIZE
    submitted = profile.max_submitted_jobs
    return Limits(array_size, _submitted_jobs(profile, configuration) if submitted is None else submitted)


def _submitted_jobs(profile: ClusterProfile, configuration: str) -> int | None:
    """Return the strictest MaxSubmitJobs of this user's associations and of the QOS in use; None if there is none.

    Only associations with the profile's cluster and partitions count. The limits of a partition's QOS or of a group are
    not read; ``sbatch`` reports them when they are reached.
    """
    which = [f"user={getpass.getuser()}", *([f"account={profile.account}"] if profile.account else [])]
    if cluster := re.search(r"^ClusterName\s*=\s*(\S+)", configuration, re.MULTILINE):
        which.append(f"cluster={cluster[1]}")
    stages = (profile, *profile.stages.values())
    partitions = {name for stage in stages for name in (stage.partition or "").split(",")} | {""}
    rows = _accounts("association", *which, columns="MaxSubmit,DefaultQOS,Partition")
    associations = [(row[0], row[1]) for row in rows if len(row) == 3 and row[2] in partitions]
    asked = {stage.qos for stage in stages} - {None}
    named = asked or {qos for _, qos in associations if qos} or {SLURMS_DEFAULT_QOS}
    numbers = [number for number, _ in associations]
    numbers += [number for name, number in _accounts("qos", columns="Name,MaxSubmitPU") if name in named]
    return min((int(number) for number in numbers if number.isdecimal()), default=None)


def _accounts(what: str, *which: str, columns: str) -> list[list[str]]:
    text = _output("sacctmgr", "--noheader", "--parsable2", "show", what, *which, f"format={columns}")
    return [line.split("|") for line in text.splitlines()]


def _output(*command: str) -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = run_client(command, timeout_seconds=60)
        return "" if done.returncode else done.stdout
    return ""

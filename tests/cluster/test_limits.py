"""What the cluster lets a user submit is read from it, and kept."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm.job import Handle
from slurm.scheduler.limits import read_limits
from slurm.scheduler.profile import ClusterProfile
from tests.cluster.scheduler import ask, service, wait_until
from tests.cluster.test_sweeps import held_executor, held_now, jobs

pytestmark = [pytest.mark.usefixtures("breakable_cluster"), pytest.mark.slow]

ROOM = 5


@pytest.fixture(autouse=True)
def enforced(breakable_cluster: None) -> Iterator[None]:
    """slurmctld holds to what accounting allows; it does not by default."""
    if os.geteuid():
        pytest.skip("changing the cluster's configuration takes root")
    configuration = Path(os.environ["SLURM_CONF"])
    before = configuration.read_text()
    sacctmgr("add", "account", "limited")
    sacctmgr("add", "user", getpass.getuser(), "account=limited")
    # SLURM remembers the limits of a user that was deleted.
    sacctmgr("modify", "user", getpass.getuser(), "set", "maxsubmitjobs=-1")
    configuration.write_text(before + "AccountingStorageEnforce=limits,qos\n")
    try:
        service("stop", "slurmctld")
        service("start", "slurmctld")
        yield
    finally:
        configuration.write_text(before)
        service("stop", "slurmctld")
        service("start", "slurmctld")
        # SLURM keeps an account for as long as a job of its has not been cleaned away.
        ask("scancel", "--me", "--account=limited")
        wait_until(lambda: not ask("squeue", "--me", "--noheader", "--account=limited"), 60, "its jobs have ended")
        sacctmgr("delete", "user", getpass.getuser(), "account=limited")
        sacctmgr("delete", "account", "limited")


def sacctmgr(*words: str) -> None:
    ask("sacctmgr", "--immediate", *words)


def taken(handles: list[Handle]) -> int:
    return sum(handle.number is not None for handle in handles)


def test_of_the_users_association(tmp_path: Path) -> None:
    limit = held_now() + ROOM
    sacctmgr("modify", "user", getpass.getuser(), "set", f"maxsubmitjobs={limit}")
    executor = held_executor(tmp_path)
    handles = executor.submit(jobs(tmp_path, parents=1, children=9))
    try:
        assert read_limits(ClusterProfile(name="test")).submitted_jobs == limit
        assert taken(handles) == ROOM
    finally:
        executor.cancel([handle.job.id for handle in handles])


def test_of_the_qos(tmp_path: Path) -> None:
    limit = held_now() + ROOM
    sacctmgr("add", "qos", "few", "set", f"maxsubmitjobsperuser={limit}")
    try:
        sacctmgr("modify", "user", getpass.getuser(), "set", "qos+=few")
        executor = held_executor(tmp_path, qos="few")
        handles = executor.submit(jobs(tmp_path, parents=1, children=9))
        try:
            assert taken(handles) == ROOM
            assert read_limits(ClusterProfile(name="test")).submitted_jobs is None, "only for jobs of that QOS"
        finally:
            executor.cancel([handle.job.id for handle in handles])
    finally:
        sacctmgr("delete", "qos", "few")


def test_that_nobody_can_read_is_found_by_asking(tmp_path: Path) -> None:
    """A group's limit: arrays are halved until one is taken, and what is left is topped up."""
    sacctmgr("modify", "account", "limited", "set", f"grpsubmitjobs={held_now() + ROOM}")
    executor = held_executor(tmp_path, account="limited")
    wanted = jobs(tmp_path, parents=1, children=9)
    handles = executor.submit(wanted)
    try:
        assert read_limits(ClusterProfile(name="test", account="limited")).submitted_jobs is None
        assert 1 < taken(handles) <= ROOM
        left = [handle.job for handle in handles if handle.number is None]
        sacctmgr("modify", "account", "limited", "set", "grpsubmitjobs=-1")
        assert taken(executor.submit(left)) == len(left)
    finally:
        executor.cancel([handle.job.id for handle in executor.submit(wanted)])

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import scheduler
from tests.required import missing


@pytest.fixture(scope="session")
def cluster_answers() -> None:
    """A SLURM cluster answers, and SLURM_CONF names it."""
    if not scheduler.answers():
        missing("slurm", "no SLURM cluster: make slurm-packages slurm-up")


@pytest.fixture
def slurm_cluster(cluster_answers: None) -> Iterator[None]:
    """The cluster, for this test alone: some tests break it, and pytest runs in several processes."""
    with (Path(tempfile.gettempdir()) / "opera-bench-test-cluster.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

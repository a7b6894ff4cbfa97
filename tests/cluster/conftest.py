from __future__ import annotations

import fcntl
import os
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


LOCKS = Path(tempfile.gettempdir())
TIMEOUT_SECONDS = 1200
"""Of each test. Daemons that are slow, and processors that others use, are no failure."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


@pytest.fixture
def slurm_cluster(cluster_answers: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """The cluster, for a test that looks at its own jobs only; other processes may test on it at the same time."""
    alone = "breakable_cluster" in request.fixturenames
    # Whoever wants the cluster for itself holds the gate while it waits: else those who share it, always some of them
    # at work, would keep it out.
    with (
        (LOCKS / "opera-bench-test-cluster-gate.lock").open("a") as gate,
        (LOCKS / "opera-bench-test-cluster.lock").open("a") as lock,
    ):
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@pytest.fixture
def breakable_cluster(slurm_cluster: None) -> None:
    """The cluster for this test alone: it breaks daemons, nodes or settings, or counts what all users have queued."""


@pytest.fixture(scope="session")
def calm_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all processes of this test run: what several tests compare with is computed once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "calm"
    folder.mkdir(exist_ok=True)
    return folder

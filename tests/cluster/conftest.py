from __future__ import annotations

import pytest

from tests.cluster import scheduler
from tests.required import missing


@pytest.fixture(scope="session")
def slurm_cluster() -> None:
    """A SLURM cluster answers, and SLURM_CONF names it."""
    if not scheduler.answers():
        missing("slurm", "no SLURM cluster: make slurm-packages slurm-up")

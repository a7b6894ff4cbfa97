"""Time limits that are too short for a run: it goes on where it was, to the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.scheduler import ask
from tests.cluster.sweeps import LONG, Sweep, assert_done_in, one_pretraining, uninterrupted

pytestmark = [pytest.mark.usefixtures("slurm_cluster"), pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_warning_before_the_time_limit_saves_requeues_and_goes_on_exactly(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, one_pretraining(LONG))
    sweep.submit()
    sweep.wait_until_training()
    ask("scancel", "--signal=USR2", sweep.slurm_ids()[0])
    assert_done_in(sweep, attempts=2)
    assert "back into the queue" in (sweep.directory("pretrain").logs / "job.log").read_text()
    assert sweep.metrics() == uninterrupted(tmp_path / "calm", sweep).metrics()

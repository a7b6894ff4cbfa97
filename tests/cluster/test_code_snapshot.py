"""What runs is the code as it was submitted, whatever becomes of the checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cluster.scheduler import ask
from tests.cluster.sweeps import Sweep, assert_done_in, copy_of_the_code, one_pretraining

pytestmark = [pytest.mark.usefixtures("slurm_cluster"), pytest.mark.slow]


def test_a_checkout_that_changes_after_submission_changes_nothing(tmp_path: Path) -> None:
    checkout = copy_of_the_code(tmp_path / "checkout")
    worker = checkout / "bench" / "worker" / "run_job.py"
    worker.write_text(worker.read_text() + 'print("the code that was submitted", flush=True)\n')
    text = one_pretraining(1, cluster="{name: h, memory_gb_per_node: 2, sbatch: {hold: true}}")
    sweep = Sweep(tmp_path, text, checkout=checkout)
    sweep.submit()

    worker.write_text('raise ImportError("the code has changed")\n')
    shutil.rmtree(checkout / "pretrain" / "methods")
    for job in sweep.slurm_ids():
        ask("scontrol", "release", job)

    elsewhere = Sweep(tmp_path, text)
    assert_done_in(elsewhere, attempts=1)
    for stage in ("pretrain", "knn"):
        log = (elsewhere.directory(stage).logs / "job.log").read_text()
        assert "the code that was submitted" in log
        assert "the code has changed" not in log

"""A job that is told to make room comes back, at whatever moment it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.scheduler import ask, state, wait_until
from tests.cluster.sweeps import LONG, Sweep, assert_done_in, one_pretraining, under_way

pytestmark = [pytest.mark.usefixtures("breakable_cluster"), pytest.mark.slow]

PREEMPTIBLE = "{name: p, partition: preemptible, memory_gb_per_node: 2, sbatch: {nodelist: n2}}"
WITH_WORKERS = (
    "{name: p, partition: preemptible, gpus_per_node: 1, cpus_per_gpu: 3, memory_gb_per_node: 3, "
    "sbatch: {nodelist: n2}}"
)


def take_the_node(folder: Path) -> None:
    urgent = ["--partition=urgent", "--nodelist=n2", "--exclusive", "--mem=0", f"--output={folder}/urgent.log"]
    ask("sbatch", *urgent, "--wrap=sleep 2")


def test_a_job_whose_loaders_have_workers_comes_back(tmp_path: Path) -> None:
    """SLURM ends every process of a step, and torch takes the end of a worker for a failure."""
    sweep = under_way(tmp_path, one_pretraining(LONG, cluster=WITH_WORKERS))
    take_the_node(tmp_path)
    assert_done_in(sweep, attempts=2)


def test_a_job_that_is_still_starting_comes_back(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, one_pretraining(1, cluster=PREEMPTIBLE))
    sweep.submit()
    number = sweep.slurm_ids()[0]
    wait_until(lambda: state(number) == "RUNNING", 60, "the pretraining has been started")
    take_the_node(tmp_path)
    sweep.wait_until_done()
    assert "Restarts=1 " in ask("scontrol", "show", "job", number)

"""The shipped sweep of digits, all of it, on the cluster and on this machine: the same runs, numbers and tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.scheduler import has_ended, wait_until
from tests.cluster.sweeps import ROOT, Sweep

SECONDS_TO_END = 7200
pytestmark = [
    pytest.mark.usefixtures("slurm_cluster"),
    pytest.mark.whole,
    pytest.mark.timeout(2 * SECONDS_TO_END),
]

TWO_AT_A_TIME = "cluster: {name: two, memory_gb_per_node: 7, sbatch: {nodelist: n1}}"


def test_digits_end_in_the_same_tables_as_on_this_machine(tmp_path: Path) -> None:
    text = (ROOT / "bench" / "sweep" / "shipped" / "digits.yaml").read_text(encoding="utf-8")
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    here = Sweep(tmp_path / "here", text, seconds_to_end=SECONDS_TO_END)
    there = Sweep(tmp_path / "there", f"{text}\n{TWO_AT_A_TIME}\n", seconds_to_end=SECONDS_TO_END)

    there.submit()
    wait_until(lambda: has_ended(",".join(there.slurm_ids())), SECONDS_TO_END, "the queue is empty")
    assert set(there.states()) == {"done"}
    there.submit()
    here("run", "--executor", "local", "--yes")

    assert set(there.submitted().values()) == {1}
    assert there.metrics() == here.metrics()
    assert there.tables == here.tables
    assert there.tables

"""One run on several nodes, in several processes each, trains as one process does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.sweeps import STEPS_PER_EPOCH, Sweep, one_pretraining, uninterrupted

pytestmark = [pytest.mark.usefixtures("slurm_cluster"), pytest.mark.slow]

TWO_NODES_OF_TWO = "{name: pair, nodes: 2, processes_per_node: 2, memory_gb_per_node: 2}"
SAME_STEPS = 5
"""Steps of which float32's rounding shows in the seventh digit only; after them it grows severalfold a step."""
DRIFT = 2e-2
"""How far losses may part in an epoch of twenty steps: five times as far as they do (by 0.004) when a single process
computes with two threads instead of one, which also changes nothing but the order of sums."""


def test_two_nodes_of_two_processes_train_like_one_process(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, one_pretraining(1, cluster=TWO_NODES_OF_TWO, evaluate="[]"))
    sweep.submit()
    calm = uninterrupted(tmp_path / "calm", sweep)
    sweep.wait_until_done()

    assert (sweep.record("pretrain").machine.world_size, calm.record("pretrain").machine.world_size) == (4, 1)
    logs = sweep.directory("pretrain").logs
    said = [(logs / name).read_text() for name in ("job.log", "job.rank1.log", "job.rank2.log", "job.rank3.log")]
    for rank, text in enumerate(said):
        assert f"process {rank} of 4 on n" in text
    assert len({text.splitlines()[0].rpartition(" ")[2] for text in said}) == 2

    four, one = ([row["loss"] for row in s.directory("pretrain").read_progress()] for s in (sweep, calm))
    assert len(one) == STEPS_PER_EPOCH
    assert four[:SAME_STEPS] == pytest.approx(one[:SAME_STEPS], rel=1e-6)
    assert four == pytest.approx(one, rel=DRIFT)

"""One run in several processes without SLURM, as torchrun starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from results.record import read_record
from results.runs import RunDirectory
from tests.cluster.sweeps import ROOT

PRETRAIN = ["pretrain", "--method", "opera", "--backbone", "tiny_vit", "--dataset", "digits", "--epochs", "1", "--runs"]
SAME_STEPS = 5
"""Steps of which float32's rounding shows in the seventh digit only."""


def started(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_two_processes_train_as_one_does_and_find_it_done_later(tmp_path: Path) -> None:
    one = started("bench.cli", *PRETRAIN, str(tmp_path / "one"))
    assert one.returncode == 0, one.stderr
    torchrun = ("torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0")
    for _ in range(2):
        two = started(*torchrun, "-m", "bench.cli", *PRETRAIN, str(tmp_path / "two"))
        assert two.returncode == 0, two.stderr
        assert two.stdout.count("loss: ") == one.stdout.count("loss: "), "one process tells the numbers"

    (run_id,) = (path.name for path in (tmp_path / "one").glob("pretrain-*"))
    runs = [RunDirectory(tmp_path / where / run_id) for where in ("one", "two")]
    records = [read_record(run.record) for run in runs]
    assert [record.machine.world_size for record in records] == [1, 2]
    assert [record.attempts for record in records] == [1, 1]
    losses = [[row["loss"] for row in run.read_progress()][:SAME_STEPS] for run in runs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_processes_that_do_not_know_each_other_are_refused(tmp_path: Path) -> None:
    done = started("bench.cli", *PRETRAIN, str(tmp_path), WORLD_SIZE="2")
    assert done.returncode == 2
    assert done.stderr == (
        "error: WORLD_SIZE is 2 without a RANK and a LOCAL_WORLD_SIZE: start several processes with torchrun\n"
    )

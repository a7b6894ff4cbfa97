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


@pytest.mark.parametrize("left_over", [{}, {"RANK": "0", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}])
def test_a_shell_that_holds_another_programs_world_size_is_refused(left_over: dict[str, str], tmp_path: Path) -> None:
    done = started("bench.cli", *PRETRAIN, str(tmp_path), WORLD_SIZE="2", **left_over)
    assert done.returncode == 2
    assert done.stderr == (
        "error: WORLD_SIZE is 2, and torchrun has not started this process: start several processes with torchrun, or"
        " unset WORLD_SIZE to compute in one\n"
    )


@pytest.mark.slow
def test_processes_that_were_asked_for_different_runs_stop_in_one_sentence(tmp_path: Path) -> None:
    """As where the command of the second node was typed with another seed."""
    command = f'exec "{sys.executable}" -m bench.cli {" ".join(PRETRAIN)} "{tmp_path}" --seed $RANK'
    torchrun = ("torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0")
    done = started(*torchrun, "--no-python", "sh", "-c", command)
    assert done.returncode == 1
    assert "they must not train together" in done.stderr
    runs = [RunDirectory(path) for path in tmp_path.glob("pretrain-*")]
    assert [run.record.exists() for run in runs] == [False, False]
    for run in runs:
        if run.failure.exists():  # torchrun ends the other processes as soon as the first has failed
            assert "they must not train together" in run.read_failure()["error"]

"""Submissions whose answer is lost, and those that are made from odd places: what SLURM has runs, and runs once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.scheduler import ask
from tests.cluster.sweeps import Sweep, assert_done_in, one_pretraining, shim

pytestmark = [pytest.mark.usefixtures("slurm_cluster"), pytest.mark.slow, pytest.mark.timeout(600)]


def test_what_sbatch_took_without_saying_so_is_known(tmp_path: Path) -> None:
    text = one_pretraining(1, evaluate="[knn, {linear: {epochs: 1}}]")
    real = ask("which", "sbatch")
    shims = shim(tmp_path, "sbatch", f'{real} "$@"; echo "sbatch: error: Socket timed out" >&2; exit 1')
    assert "3 runs are with SLURM" in Sweep(tmp_path, text, shims).submit()
    sweep = Sweep(tmp_path, text)
    assert "starting 0 jobs" in sweep.submit()
    assert_done_in(sweep, attempts=1)
    assert set(sweep.submitted().values()) == {1}


def test_a_command_that_is_killed_while_sbatch_answers_has_submitted_all_the_same(tmp_path: Path) -> None:
    """The next one finds out by name, before jobs that have started give up waiting."""
    text = one_pretraining(1, evaluate="[]").replace("method: opera", "method: [opera, moco_v3]")
    real = ask("which", "sbatch")
    shims = shim(tmp_path, "sbatch", f'{real} "$@"; kill -9 $PPID')
    assert Sweep(tmp_path, text, shims).start("run", "--executor", "slurm", "--yes").wait(timeout=120) == -9
    sweep = Sweep(tmp_path, text)
    assert sweep.states().keys() <= {"waiting", "running"}
    assert "starting 0 jobs" in sweep.submit()
    sweep.wait_until_done()
    assert set(sweep.submitted().values()) == {1}


def test_submitting_from_within_a_job_with_variables_of_its_own_changes_nothing(tmp_path: Path) -> None:
    """Those of ``squeue`` would hide the jobs from it."""
    foreign = {"SBATCH_TIMELIMIT": "1", "SBATCH_NO_REQUEUE": "1", "SLURM_MEM_PER_CPU": "100", "SLURM_NTASKS": "7"}
    foreign |= {"SUBMITIT_PREEMPT_SIGNAL": "USR1", "SQUEUE_PARTITION": "urgent"}
    sweep = Sweep(tmp_path, one_pretraining(1, cluster="{name: m, memory_gb_per_node: 2, hours: 2}"), foreign)
    sweep.submit()
    job = ask("scontrol", "show", "job", sweep.slurm_ids()[0])
    assert "TimeLimit=02:00:00" in job
    assert "Requeue=1" in job
    assert "unknown" not in sweep.states()
    assert_done_in(sweep, attempts=1)

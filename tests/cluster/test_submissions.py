"""Submissions whose answer is lost, and those that are made from odd places: what SLURM has runs, and runs once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cluster.scheduler import ask, state
from tests.cluster.sweeps import Sweep, assert_done_in, one_pretraining, shim

pytestmark = [pytest.mark.usefixtures("slurm_cluster"), pytest.mark.slow]


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


def test_a_job_that_reaches_the_queue_after_its_submission_was_given_up_is_cancelled(tmp_path: Path) -> None:
    text = one_pretraining(1, evaluate="[]", cluster="{name: m, memory_gb_per_node: 2}")
    script, real = tmp_path / "late.sh", ask("which", "sbatch")
    late = f"cp \"$1\" '{script}'; echo 'sbatch: error: Socket timed out' >&2; exit 1"
    process = Sweep(tmp_path, text, shim(tmp_path, "sbatch", late)).start("run", "--executor", "slurm", "--yes")
    assert "Socket timed out" in process.communicate(timeout=120)[1]
    assert process.returncode == 2
    number = ask(real, "--parsable", "--begin=now+1hour", script)
    sweep = Sweep(tmp_path, text)
    submitted = sweep.submit()
    assert f"cancelled SLURM job {number}, " in submitted
    assert state(number) == "CANCELLED"
    sweep.wait_until_done()
    assert sweep.record("pretrain").attempts == 1
    assert len(sweep.slurm_ids()) == 1


def test_names_of_other_jobs_that_are_no_utf_8_disturb_no_command(tmp_path: Path) -> None:
    theirs = [
        subprocess.run(
            ["sbatch", "--parsable", "--hold", "--output=/dev/null", b"--job-name=" + name, "--wrap=sleep 1"],
            check=True,
            stdout=subprocess.PIPE,
            encoding="ascii",
        ).stdout.strip()
        for name in (b"caf\xe9", b"a|b|c|d|e", b"\x01\x1b[31m", b"a\x1db\x0bc")
    ]
    sweep = Sweep(tmp_path, one_pretraining(1, cluster="{name: h, memory_gb_per_node: 2, sbatch: {hold: true}}"))
    try:
        sweep.submit()
        assert sweep("status").count("(JobHeldUser); release it with: scontrol release ") == 2
        assert "starting 0 jobs" in sweep.submit()
        assert "2 runs cancelled" in sweep("cancel", "--yes")
        assert set(ask("squeue", "--noheader", "--format=%T", f"--jobs={','.join(theirs)}").split()) == {"PENDING"}
    finally:
        ask("scancel", *theirs)
    (sweep.runs / ".slurm" / "queue.json").unlink()
    assert sweep.states() == {"cancelled": 2}


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

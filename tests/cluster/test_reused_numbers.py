"""SLURM gives a job's number to another job: it is not taken for the first one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.cluster.scheduler import ask, forgotten_by_slurmctld, state, submit, wait_until
from tests.cluster.sweeps import Sweep, assert_done_in, one_pretraining

pytestmark = [pytest.mark.usefixtures("breakable_cluster"), pytest.mark.slow]

NEVER_BEGINS = "{name: busy, memory_gb_per_node: 2, setup: [sleep 300]}"


def test_somebody_elses_job_with_the_number_of_one_of_ours_is_left_alone(tmp_path: Path) -> None:
    text = one_pretraining(1, cluster=NEVER_BEGINS)
    sweep = Sweep(tmp_path, text)
    with forgotten_by_slurmctld():
        sweep.submit()
        number = sweep.slurm_ids()[0]
        in_accounts = ("sacct", "--noheader", "--allocations", "--format=State", f"--jobs={number}")
        wait_until(lambda: "RUNNING" in ask(*in_accounts), 60, "the accounts know that it runs")
    theirs = submit("true", "--hold", "--job-name=theirs", log=tmp_path / "theirs.log")
    try:
        assert theirs == number
        (sweep.runs / ".slurm" / "queue.json").unlink(missing_ok=True)
        assert sweep.states() == {"unknown": 2}
        told = sweep("logs", "--follow", of=sweep.directory("pretrain").run_id)
        assert f"SLURM has no record of job {number}; if it did not finish: opera-bench retry" in told
        assert "nothing is running or queued" in sweep("cancel", "--yes")
        assert state(theirs) == "PENDING"

        again = Sweep(tmp_path, text.replace(NEVER_BEGINS, "test"))
        again("retry", "--executor", "slurm", "--yes")
        assert_done_in(again, attempts=1)
        assert set(again.submitted().values()) == {2}
        assert state(theirs) == "PENDING"
    finally:
        ask("scancel", theirs)


def test_a_forgotten_job_starts_again_on_a_cluster_that_keeps_no_accounts(tmp_path: Path) -> None:
    """The cluster has some; its commands are told otherwise, and know no more than they would without."""
    with_accounts = Path(os.environ["SLURM_CONF"]).read_text()
    without = re.sub(r"(?m)^AccountingStorage\w+=.*\n", "", with_accounts)
    (tmp_path / "slurm.conf").write_text(f"{without}AccountingStorageType=accounting_storage/none\n")
    here = {"SLURM_CONF": str(tmp_path / "slurm.conf")}
    text = one_pretraining(1, cluster=NEVER_BEGINS)
    sweep = Sweep(tmp_path, text, here)
    with forgotten_by_slurmctld():
        sweep.submit()
    (sweep.runs / ".slurm" / "queue.json").unlink(missing_ok=True)
    assert sweep.states() == {"unknown": 2}

    again = Sweep(tmp_path, text.replace(NEVER_BEGINS, "test"), here)
    again("retry", "--executor", "slurm", "--yes")
    assert_done_in(again, attempts=1)
    assert set(again.submitted().values()) == {2}

"""What commands say of runs that only the scheduler knows about, with stand-ins for its commands."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from slurm.scheduler.ledger import Ledger
from tests.conftest import Ended
from tests.results.synthetic import evaluation, pretraining, write_run
from tests.slurm.test_queue import stand_in


@pytest.fixture
def shims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shims"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("launch failed requeued held", "(launch failed requeued held); release it with: scontrol release 7_0"),
        ("JobHeldUser", "(JobHeldUser); release it with: scontrol release 7_0"),
        ("JobHeldAdmin", "(JobHeldAdmin); an administrator must type: scontrol release 7_0"),
    ],
)
def test_a_job_that_slurm_holds_is_not_just_queued(
    command: Callable[..., Ended], tmp_path: Path, shims: Path, reason: str, told: str
) -> None:
    runs = tmp_path / "runs"
    held = write_run(runs, pretraining(), state="planned")
    queued = write_run(runs, pretraining(seed=1), state="planned")
    ledger = Ledger(runs / ".slurm")
    ledger.intend("both", [held, queued])
    ledger.accepted("both", "7")
    stand_in(shims, squeue=f"printf '7_0|PENDING|{reason}|both\\n7_1|PENDING|Priority|both\\n'", sacct="true")
    shown = command("status", "--runs", runs)
    assert shown.status == 0
    assert f"held {held}: SLURM holds job 7_0 {told}" in shown.out
    assert "1 pending in SLURM: Priority" in shown.out
    first, second = shown.out.splitlines()[-2:]
    assert first == "SLURM holds 1 job until somebody types: scontrol release 7_0"
    assert second.startswith("queued; follow with: ")


KILLED = "7|OUT_OF_MEMORY|0|2026-01-01T00:00:00|9|cpu=2|parents"
DROPPED = "8|CANCELLED|0|2026-01-01T00:00:00|0||children"


@pytest.mark.parametrize(
    ("squeue", "sacct", "why_not_the_child"),
    [
        ("7|OUT_OF_MEMORY|None|parents\n8|CANCELLED|Dependency|children", "", "parent {} failed"),
        ("", f"{KILLED}\n{DROPPED}", "parent {} failed"),
        (
            "8|PENDING|DependencyNeverSatisfied|children",
            KILLED,
            "SLURM job 8 can never start: a job it depends on failed",
        ),
    ],
    ids=["in the queue", "in the accounts", "not dropped yet"],
)
def test_commands_agree_about_a_parent_that_was_killed_before_it_began(
    command: Callable[..., Ended], tmp_path: Path, shims: Path, squeue: str, sacct: str, why_not_the_child: str
) -> None:
    runs = tmp_path / "runs"
    parent = write_run(runs, pretraining(), state="planned")
    child = write_run(runs, evaluation(pretraining()), state="planned", parents=[parent])
    ledger = Ledger(runs / ".slurm")
    for name, number, run_id in (("parents", "7", parent), ("children", "8", child)):
        ledger.intend(name, [run_id])
        ledger.accepted(name, number)
    stand_in(shims, squeue=f"echo '{squeue}'", sacct=f"echo '{sacct}'")

    jobs = json.loads(command("status", "--runs", runs, "--format", "json").out)["jobs"]
    told = {job["run_id"]: (job["state"], job["reason"]) for job in jobs}
    reason = why_not_the_child.format(parent)
    assert told == {parent: ("failed", "SLURM job 7: OUT_OF_MEMORY"), child: ("failed", reason)}
    printed = command("status", "--runs", runs).out
    assert all(f"failed {run_id}: {why}" in printed for run_id, (_, why) in told.items())

    table = json.loads(command("tables", "digits", "--runs", runs, "--format", "json").out)
    cells = [cell for row in table["rows"] for cell in row["cells"].values() if cell["state"] == "failed"]
    assert [cell["reason"] for cell in cells] == [reason]

    page = tmp_path / "report.html"
    assert command("report", "--runs", runs, "--out", page).status == 0
    text = " ".join(re.sub(r"<[^>]*>", " ", unescape(page.read_text(encoding="utf-8"))).split())
    assert all(f"{run_id} failed reason {why}" in text for run_id, (_, why) in told.items())

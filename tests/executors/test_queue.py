"""What the queue and the accounts say of jobs, where the two differ."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slurm.scheduler.commands import Standing
from slurm.scheduler.ledger import Ledger
from slurm.scheduler.queue import Queue

OURS, THEIRS = os.getuid(), os.getuid() + 1


@pytest.mark.parametrize(
    ("user", "state", "standing"),
    [
        (OURS, "COMPLETED", Standing.SUCCEEDED),
        (OURS, "RUNNING", Standing.GONE),
        (OURS, "PENDING", Standing.GONE),
        (THEIRS, "RUNNING", Standing.RUNNING),
        (THEIRS, "PENDING", Standing.PENDING),
    ],
)
def test_what_only_the_accounts_take_for_running_is_somebody_elses_or_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, state: str, standing: Standing
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    stand_in(tmp_path, squeue="true", sacct=f"echo '7|{state}|{user}|first'")
    submitted(tmp_path)
    assert Queue(tmp_path).views()["a"].standing is standing


def test_the_queue_may_have_back_what_had_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    submitted(tmp_path)
    asked = tmp_path / "asked"
    stand_in(tmp_path, squeue="true", sacct=f"echo >>'{asked}'; echo '7|FAILED|{OURS}|first'")
    assert Queue(tmp_path).views()["a"].standing is Standing.FAILED
    assert Queue(tmp_path).views(fresh=True)["a"].standing is Standing.FAILED
    assert len(asked.read_text().splitlines()) == 1, "the accounts are asked once"
    stand_in(tmp_path, squeue="echo '7|PENDING|BeginTime|first'", sacct="exit 1")
    view = Queue(tmp_path).views(fresh=True)["a"]
    assert (view.standing, view.had_failed) == (Standing.PENDING, True)
    stand_in(tmp_path, squeue="true", sacct=f"echo '7|COMPLETED|{OURS}|first'")
    view = Queue(tmp_path).views(fresh=True)["a"]
    assert (view.standing, view.had_failed) == (Standing.SUCCEEDED, True), "what waited for it had been dropped"


def submitted(folder: Path) -> None:
    ledger = Ledger(folder)
    ledger.intend("first", ["a"])
    ledger.accepted("first", "7")


def stand_in(folder: Path, **commands: str) -> None:
    """Shell scripts in the place of SLURM's commands."""
    for name, script in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

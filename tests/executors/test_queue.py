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
    for name, script in (("squeue", "true"), ("sacct", f"echo '7|{state}|{user}|first'")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    ledger = Ledger(tmp_path)
    ledger.intend("first", ["a"])
    ledger.accepted("first", "7")
    assert Queue(tmp_path).views()["a"].standing is standing

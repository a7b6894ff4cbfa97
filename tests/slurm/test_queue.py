"""What the queue and the accounts say of jobs, where the two differ."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slurm.job import InputError
from slurm.scheduler.commands import Row, Standing, View, active_jobs, cancel_jobs
from slurm.scheduler.ledger import Ledger
from slurm.scheduler.queue import Queue

OURS, THEIRS = os.getuid(), os.getuid() + 1
CHARGED = "2026-01-01T00:00:00|1800|billing=2,cpu=2,mem=2G,node=1"
"""Columns of sacct: when the job was submitted, the seconds it held its allocation, and what was in that."""


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
    stand_in(tmp_path, squeue="true", sacct=f"echo '7|{state}|{user}|{CHARGED}|first'")
    submitted(tmp_path)
    assert Queue(tmp_path).views()["a"].standing is standing


def test_the_queue_may_have_back_what_had_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    submitted(tmp_path)
    asked = tmp_path / "asked"
    stand_in(tmp_path, squeue="true", sacct=f"echo >>'{asked}'; echo '7|FAILED|{OURS}|{CHARGED}|first'")
    assert Queue(tmp_path).views()["a"].standing is Standing.FAILED
    assert Queue(tmp_path).views(fresh=True)["a"].standing is Standing.FAILED
    assert len(asked.read_text().splitlines()) == 1, "the accounts are asked once"
    stand_in(tmp_path, squeue="echo '7|PENDING|BeginTime|first'", sacct="exit 1")
    view = Queue(tmp_path).views(fresh=True)["a"]
    assert (view.standing, view.had_failed) == (Standing.PENDING, True)
    stand_in(tmp_path, squeue="true", sacct=f"echo '7|COMPLETED|{OURS}|{CHARGED}|first'")
    view = Queue(tmp_path).views(fresh=True)["a"]
    assert (view.standing, view.had_failed) == (Standing.SUCCEEDED, True), "what waited for it had been dropped"


@pytest.mark.parametrize(
    "name", ["caf\\351", "a|b", "\\001\\033[31m", "a\\035b\\013c", "a\\nb", "a\\n9|RUNNING", "\\302\\205"]
)
@pytest.mark.parametrize("where", ["squeue", "sacct"])
def test_a_name_of_another_job_disturbs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    """``printf`` writes bytes that are no UTF-8, and characters at which Python, but not SLURM, ends a line."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    columns = f"{OURS}|{CHARGED}" if where == "sacct" else OURS
    theirs = f"printf '8|PENDING|{columns}|{name}\\n'"
    ours = f"echo '7|COMPLETED|{columns}|first'"
    stand_in(tmp_path, **{"squeue": "true", "sacct": "true", where: f"{theirs}; {ours}; {theirs}"})
    submitted(tmp_path)
    assert Queue(tmp_path).views()["a"].standing is Standing.SUCCEEDED
    if where == "squeue":
        assert active_jobs() == 2


def test_words_of_an_error_that_are_no_utf_8_disturb_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    stand_in(tmp_path, scancel="printf 'caf\\351' >&2; exit 1")
    with pytest.raises(InputError, match="scancel failed: caf"):
        cancel_jobs([View(Standing.PENDING, slurm_id="7")])


@pytest.mark.parametrize(
    ("state", "reason", "detail"),
    [
        ("PENDING", "BadConstraints", "BadConstraints"),
        ("PENDING", "ReqNodeNotAvail, UnavailableNodes:n4", "ReqNodeNotAvail, UnavailableNodes:n4"),
        ("PENDING", "JobHeldUser", "JobHeldUser"),
        ("PENDING", "None", "PENDING"),
        ("FAILED", "BadConstraints", "FAILED (BadConstraints)"),
        ("FAILED", "NonZeroExitCode", "FAILED"),
        ("TIMEOUT", "TimeLimit", "TIMEOUT"),
        ("COMPLETED", "None", "COMPLETED"),
    ],
)
def test_slurms_reason_is_told(state: str, reason: str, detail: str) -> None:
    assert Row("7", "first", state, reason).view().detail == detail


@pytest.mark.parametrize(
    ("state", "reason", "is_held"),
    [
        ("PENDING", "launch failed requeued held", True),
        ("PENDING", "launch_failed_requeued_held", True),
        ("PENDING", "job requeued in held state", True),
        ("PENDING", "JobHeldAdmin", True),
        ("PENDING", "JobHeldUser", True),
        ("PENDING", "JobHoldMaxRequeue", True),
        ("REQUEUE_HOLD", "None", True),
        ("SPECIAL_EXIT", "BeginTime", True),
        ("PENDING", "Resources", False),
        ("PENDING", "ReqNodeNotAvail, UnavailableNodes:JobHeld-1", False),
        ("RUNNING", "JobHeldUser", False),
        ("PENDING", "DependencyNeverSatisfied", False),
    ],
)
def test_a_held_job_is_told_from_one_that_waits(state: str, reason: str, is_held: bool) -> None:
    assert Row("7", "first", state, reason).view().is_held is is_held


def test_a_job_that_appears_after_its_submission_was_given_up_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    ledger = Ledger(tmp_path)
    ledger.intend("late", ["a", "b"])
    ledger.refused("late")
    asked = tmp_path / "asked"
    rows = "9_0|RUNNING|None|late\\n9_1|PENDING|Resources|late\\n8|RUNNING|None|somebody\\n"
    stand_in(tmp_path, squeue=f"printf '{rows}'", sacct="true", scancel=f"echo \"$@\" >>'{asked}'")
    assert Queue(tmp_path).views() == {}, "its runs have not been submitted"
    assert asked.read_text() == "9_0 9_1\n"
    assert "cancelled SLURM job 9_0, late: its submission had been given up" in capsys.readouterr().err
    submitted(tmp_path)
    assert Queue(tmp_path).views(fresh=True)["a"].slurm_id is None, "the late job is not taken for the next one"


def submitted(folder: Path) -> None:
    ledger = Ledger(folder)
    ledger.intend("first", ["a"])
    ledger.accepted("first", "7")


def stand_in(folder: Path, **commands: str) -> None:
    """Shell scripts in the place of SLURM's commands."""
    for name, script in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

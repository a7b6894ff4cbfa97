"""A submission that was cut off, and the folder of scripts and pickles that it left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slurm.scheduler.ledger import Ledger
from slurm.scheduler.submission import settle_intents


@pytest.fixture(autouse=True)
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that know the batch ``queued`` and no other."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"squeue": "echo '7|PENDING|None|queued'", "sacct": "true", "scancel": "true"}.items():
        (commands / name).write_text(f"#!/bin/sh\n{text}\n")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The scheduler's folder with a batch that was taken, two whose answer is not known, and one of no intent."""
    folder = tmp_path / ".slurm"
    ledger = Ledger(folder)
    for name in ("taken", "queued", "lost"):
        ledger.intend(name, [f"run-{name}"])
    ledger.accepted("taken", "6")
    for name in ("taken", "queued", "lost", "unnoted", "code"):
        (folder / name).mkdir()
        (folder / name / "submission.sh").touch()
    return folder


def folders(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


def test_a_batch_that_is_given_up_leaves_no_folder(folder: Path) -> None:
    settle_intents(folder)
    assert folders(folder) == {"taken", "queued", "code"}
    assert {each.name: each.refused for each in Ledger(folder).submissions()} == {
        "taken": False,
        "queued": False,
        "lost": True,
    }


def test_a_folder_whose_removal_was_cut_off_goes_with_the_next_submission(folder: Path) -> None:
    Ledger(folder).refused("lost")
    Ledger(folder).accepted("queued", "7")
    settle_intents(folder)
    assert folders(folder) == {"taken", "queued", "code"}


def test_a_look_removes_nothing(folder: Path) -> None:
    settle_intents(folder, give_up=False)
    assert folders(folder) == {"taken", "queued", "lost", "unnoted", "code"}

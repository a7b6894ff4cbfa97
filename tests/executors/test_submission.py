"""What a submission takes from its surroundings, and what it doesn't."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slurm.scheduler.profile import parse_profile
from slurm.scheduler.script import without_the_shells_flags
from slurm.scheduler.snapshot import take_snapshot


def test_the_shells_flags_do_not_rename_a_job_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_JOB_NAME", "mine")
    monkeypatch.setenv("SBATCH_ACCOUNT", "vision")
    with without_the_shells_flags():
        assert "SBATCH_JOB_NAME" not in os.environ
        assert os.environ["SBATCH_ACCOUNT"] == "vision"
    assert os.environ["SBATCH_JOB_NAME"] == "mine"


def test_a_link_to_nowhere_is_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "checkout" / "somepackage"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / ".#__init__.py").symlink_to("somebody@host.1")
    monkeypatch.syspath_prepend(package.parent)
    snapshot = take_snapshot(("somepackage",), {}, tmp_path / "code")
    assert [path.name for path in (snapshot / "somepackage").iterdir()] == ["__init__.py"]


def test_a_python_below_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/vera")
    profile = parse_profile({"name": "a", "python": "~/venv/bin/python"}, "mine.yaml")
    assert profile.resources("knn").python == "/home/vera/venv/bin/python"

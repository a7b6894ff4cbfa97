"""What a submission takes from its surroundings, and what it doesn't."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slurm.scheduler.script import without_inherited_flags
from slurm.scheduler.snapshot import take_snapshot
from tests.slurm.profiles import parse_profile

BANNER = """\
caf\udce9: your last job 7 of 2024 waited 3 h
Submitted batch job 12
job 99 is next"""


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [
        ("SBATCH_JOB_NAME", False),
        ("SBATCH_TIMELIMIT", False),
        ("SBATCH_PARTITION", False),
        ("SBATCH_ACCOUNT", True),
        ("SLURM_MEM_PER_CPU", False),
        ("SLURM_CONF", True),
        ("SLURMISH", True),
    ],
)
def test_of_the_shells_flags_only_what_the_profile_leaves_open_is_seen_and_all_come_back(
    name: str, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "theirs")
    wanted = parse_profile({"name": "a", "partition": "gpu"}, "mine.yaml").resources("knn")
    with without_inherited_flags(wanted):
        assert (name in os.environ) is is_kept
    assert os.environ[name] == "theirs"


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


@pytest.mark.parametrize("said", ["Submitted batch job 12", "Submitted batch job 12 on cluster a", BANNER])
def test_the_number_of_a_job_is_not_one_of_a_banner(said: str) -> None:
    submitter = pytest.importorskip("slurm.scheduler.submitter")
    assert submitter.Submitter._get_job_id_from_submission_command(said) == "12"


@pytest.mark.parametrize("said", ["", "your job 7 of 2024", "Submitted batch job", "12"])
def test_an_answer_without_a_number_leaves_the_question_to_the_queue(said: str) -> None:
    submitter = pytest.importorskip("slurm.scheduler.submitter")
    with pytest.raises(RuntimeError, match="did not say one job's number"):
        submitter.Submitter._get_job_id_from_submission_command(said.encode())

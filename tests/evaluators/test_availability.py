"""A library that can't be imported is found in a child process, whatever it does there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evaluators.parts.availability import AVAILABLE, ask_availability
from tests.evaluators.dense.stack import needs

SWEEP = """\
name: det
pretrain:
  - {method: moco_v3, backbone: tiny_resnet, dataset: digits, epochs: 1}
evaluate:
  - {detection: {dataset: digit_objects}}
"""
MISMATCH = "MMCV==2.2.0 is used but incompatible. Please install mmcv>=2.0.0rc4, <2.2.0."


def shadow(directory: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mmdet before the installed one on the search path, with this code."""
    package = directory / "mmdet"
    package.mkdir()
    (package / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(str(directory))
    ask_availability.cache_clear()


@needs("mmdet")
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (f"assert False, {MISMATCH!r}", f"(AssertionError: {MISMATCH})"),
        ("import sys; sys.exit('no')", "(SystemExit: no)"),
        ("import os; os._exit(3)", "importing its library ended a child process with exit status 3: no message"),
        ("import os; os.abort()", "importing its library ended a child process with signal 6"),
        (
            "raise ImportError('undefined symbol: _ZN2at4_ops\\n  in _ext.so')",
            "undefined symbol: _ZN2at4_ops in _ext.so)",
        ),
    ],
)
def test_what_an_import_does_is_said(code: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shadow(tmp_path, code, monkeypatch)
    answer = ask_availability("detection")
    assert answer.can_run is False
    assert answer.reason is not None
    assert expected in answer.reason
    assert "\n" not in answer.reason
    ask_availability.cache_clear()


@needs("mmdet")
def test_plan_and_doctor_say_it_and_run_refuses_before_it_pretrains(tmp_path: Path) -> None:
    package = tmp_path / "mmdet"
    package.mkdir()
    (package / "__init__.py").write_text(f"raise AssertionError({MISMATCH!r})")
    (tmp_path / "det.yaml").write_text(SWEEP)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, "-m", "bench.cli", *arguments, "--runs", str(tmp_path / "runs")]
        return subprocess.run(call, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    planned = command("plan", "det.yaml")
    assert planned.returncode == 0
    assert "can't run here yet: detection: MMDetection is installed but can't be imported" in planned.stderr
    assert MISMATCH in planned.stderr
    ran = command("run", "det.yaml", "--yes", "--executor", "inline", "--device", "cpu")
    assert ran.returncode == 2
    assert MISMATCH in ran.stderr
    assert not (tmp_path / "runs").exists()
    looked = command("doctor")
    assert looked.returncode == 1
    (line,) = [line for line in looked.stdout.splitlines() if "import of mmdet" in line]
    assert line.startswith("wrong")
    assert MISMATCH in line
    for module in ("mmengine", "mmcv", "mmseg", "mmdet", "mmcv operators"):
        assert any(f" {module}: " in line for line in looked.stdout.splitlines()), module


def test_an_evaluator_without_a_library_is_not_asked() -> None:
    assert ask_availability("linear", "/nowhere/python") == AVAILABLE


def test_a_python_that_is_not_here_is_said_to_be_unchecked() -> None:
    answer = ask_availability("detection", "/nowhere/python")
    assert answer.can_run is None
    assert answer.reason == "/nowhere/python can't be started here (No such file or directory)"


def test_a_python_that_only_its_setup_lines_make_fit_is_said_to_be_unchecked() -> None:
    from bench.launch.jobs import ask_software, require_software
    from bench.plan.graph import plan_sweep
    from bench.sweep.load import load_sweep
    from slurm.scheduler.profile import ClusterProfile

    runs = plan_sweep(load_sweep("digits-dense")).runs
    bare = "/bin/false"
    profile = ClusterProfile.model_validate({"name": "there", "python": bare, "setup": ["module load python"]})
    answers = ask_software(runs, profile)
    assert {answer.can_run for answer in answers.values()} == {None}
    said: list[str] = []
    require_software(runs, profile, announce=said.append)
    assert said[0] == f"detection: not checked: {bare} can't run it without the profile's setup lines"
    with pytest.raises(ValueError, match="detection: importing its library ended a child process with exit status 1"):
        require_software(runs, ClusterProfile.model_validate({"name": "there", "python": bare}))

"""A library that is not installed is told of before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evaluators.parts.availability import ask_availability
from tests.conftest import Ended

SWEEP = """\
name: dense
pretrain: [{method: opera, backbone: tiny_resnet, dataset: digits}]
evaluate: [{detection: {dataset: digit_objects}}]
"""
PROFILE = "cluster: {name: here, stages: {detection: {python: /dense/bin/python}}}\n"


WITHOUT_MMDET = """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *package: None if name == "mmdet" else found(name, *package)
"""


@pytest.fixture(autouse=True)
def _no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The Python that is asked, a child process, finds no mmdet."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text(WITHOUT_MMDET)
    monkeypatch.syspath_prepend(str(tmp_path / "without"))
    ask_availability.cache_clear()
    yield
    ask_availability.cache_clear()


def test_plan_says_it_and_run_refuses(command: Callable[..., Ended], tmp_path: Path) -> None:
    sweep = tmp_path / "dense.yaml"
    sweep.write_text(SWEEP)
    runs = tmp_path / "runs"
    planned = command("plan", sweep, "--runs", runs)
    assert planned.status == 0
    assert "can't run here yet: detection: MMDetection can't run in this Python, which lacks mmdet" in planned.err
    refused = command("run", sweep, "--runs", runs, "--executor", "inline", "--yes")
    assert refused.status == 2
    assert "pip install 'opera-bench[dense]'" in refused.err
    assert not runs.exists()


def test_another_python_of_the_cluster_answers_for_itself(command: Callable[..., Ended], tmp_path: Path) -> None:
    sweep = tmp_path / "dense.yaml"
    sweep.write_text(SWEEP + PROFILE)
    assert "can't run here yet" not in command("plan", sweep, "--runs", tmp_path / "runs").err

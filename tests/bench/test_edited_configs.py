"""A ``config.yaml`` that somebody edited is never computed under the old id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.worker.run_job import execute
from results.errors import InputError
from tests.bench.conftest import Engine
from tests.conftest import Ended

SWEEP = """\
name: small
pretrain:
  - {method: moco_v3, backbone: tiny_vit, dataset: digits, seed: 3}
"""
EDITS = [
    ("seed: 3", "seed: 4"),
    ("base_learning_rate: 0.001", "base_learning_rate: 0.01"),
    ("parents: []", "parents: [a]"),
]


@pytest.fixture
def run(write_sweep: Callable[[str], Path], tmp_path: Path, command: Callable[..., Ended]) -> Callable[[], Ended]:
    sweep = write_sweep(SWEEP)
    return lambda: command("run", sweep, "--executor", "inline", "--runs", tmp_path / "runs")


def edited(tmp_path: Path, old: str, new: str) -> Path:
    (path,) = tmp_path.glob("runs/*/config.yaml")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize(("old", "new"), EDITS)
def test_run_names_file_and_setting_and_computes_nothing(
    old: str, new: str, run: Callable[[], Ended], tmp_path: Path, engine: Engine
) -> None:
    assert run().status == 0
    (record,) = tmp_path.glob("runs/*/record.json")
    record.unlink()
    path = edited(tmp_path, old, new)
    text = path.read_text(encoding="utf-8")
    trained = list(engine.trained)
    ended = run()
    assert ended.status == 2
    assert f"{path}: differs from what the sweep plans" in ended.err
    assert old.partition(":")[0] in ended.err
    assert f"delete the directory {path.parent}" in ended.err
    with pytest.raises(InputError, match="it was edited"):
        execute(str(path.parent), "cpu", 0, {})
    assert engine.trained == trained
    assert path.read_text(encoding="utf-8") == text
    assert not record.exists()


def test_an_edit_after_the_end_is_said_and_the_record_stays(
    run: Callable[[], Ended], tmp_path: Path, engine: Engine
) -> None:
    assert run().status == 0
    path = edited(tmp_path, "seed: 3", "seed: 4")
    ended = run()
    assert ended.status == 0
    assert f"{path}: differs from what the sweep plans: config.pretrain.seed is 4, planned is 3" in ended.err
    assert "its record is unharmed" in ended.err
    assert len(engine.trained) == 1

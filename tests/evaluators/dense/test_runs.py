"""Segmentation and detection from a checkpoint to metrics on digit scenes, by the real libraries."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.dense.library import versions
from pretrain.checkpoint import read_header
from pretrain.datasets import find_dataset
from pretrain.errors import StoppedEarly
from tests.evaluators.conftest import Curves, MakeCheckpoint
from tests.evaluators.dense.scenes import DETECTION_METRICS, SEGMENTATION_METRICS, evaluate, few_scenes
from tests.evaluators.dense.stack import needs


@pytest.mark.parametrize("backbone", ["tiny_resnet", "tiny_vit"])
@needs("mmseg")
def test_segmentation_of_digit_scenes(
    backbone: str, make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_scenes(tmp_path, monkeypatch)
    curves = Curves()
    checkpoint = make_checkpoint(backbone)
    metrics = evaluate("segmentation", checkpoint, tmp_path / "run", report=curves)
    assert set(metrics) == SEGMENTATION_METRICS
    assert all(0 <= value <= 100 for value in metrics.values())
    assert [row["epoch"] * 16 for row in curves.rows] == [2, 4, 6, 8]
    artifacts = tmp_path / "run" / "artifacts"
    assert {path.name for path in artifacts.iterdir()} == {
        "config.py", "evaluation.json", "per_class.json", "predictions.png",
    }  # fmt: skip
    per_class = json.loads((artifacts / "per_class.json").read_text())
    assert tuple(per_class) == find_dataset("digit_scenes").INFO.classes
    known = [values["IoU"] for values in per_class.values() if values["IoU"] is not None]
    assert metrics["mIoU"] == pytest.approx(np.mean(known), abs=0.01)
    facts = json.loads((artifacts / "evaluation.json").read_text())
    assert facts["checkpoint_sha256"] == read_header(checkpoint).sha256
    assert facts["learning_rate_scale"] == 2 / 8
    assert facts["versions"] == versions()
    # The text that is kept names no directory of this machine and no process count.
    assert str(tmp_path) not in (artifacts / "config.py").read_text()


@needs("mmdet")
def test_detection_of_digit_objects(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_scenes(tmp_path, monkeypatch)
    metrics = evaluate("detection", make_checkpoint("tiny_resnet"), tmp_path / "run")
    assert set(metrics) == DETECTION_METRICS
    assert all(0 <= value <= 100 for value in metrics.values())
    per_class = json.loads((tmp_path / "run" / "artifacts" / "per_class.json").read_text())
    assert tuple(per_class) == find_dataset("digit_objects").INFO.classes
    assert all(set(values) == {"box_AP", "mask_AP"} for values in per_class.values())
    assert (tmp_path / "run" / "artifacts" / "predictions.png").is_file()


@pytest.mark.slow
@needs("mmseg")
def test_more_training_segments_better(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    checkpoint = make_checkpoint("tiny_resnet")
    little, much = (
        evaluate("segmentation", checkpoint, tmp_path / str(n), iterations=n, global_batch_size=8)["mIoU"]
        for n in (5, 120)
    )
    assert much > little + 3


@dataclass(frozen=True)
class Killed:
    """A training to kill once it has noted one of these checkpoints, ``checkpoint_every`` iterations apart."""

    metrics: set[str]
    options: dict[str, Any]
    noted: tuple[str, ...]
    iterations: int
    images: int
    checkpoint_every: int = 1


KILLED = {
    "segmentation": Killed(
        SEGMENTATION_METRICS,
        {"iterations": 60, "global_batch_size": 4},
        ("iter_9.pth", "iter_12.pth", "iter_15.pth"),
        iterations=60,
        images=240,
    ),
    "detection": Killed(
        DETECTION_METRICS,
        {"base_epochs": 3, "global_batch_size": 8, "optimizer": {"warmup_iterations": 0}},
        ("epoch_1.pth",),
        iterations=9,
        images=24,
        checkpoint_every=3,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "looks", "where", "goes_on_after"),
    [
        ("segmentation", 8, r"in training, at iteration 8 of 60", 8),
        ("segmentation", 62, r"in the test, after batch 1$", 60),
        ("detection", 5, r"in training, at iteration 5 of 9", 3),
        ("detection", 3, r"in training, after iteration 3 of 9", 3),
        ("detection", 2, r"in training, at iteration 2 of 9", 0),
    ],
)
@needs("mmseg")
@needs("mmdet")
def test_a_training_that_is_asked_to_stop_continues(
    name: str,
    looks: int,
    where: str,
    goes_on_after: int,
    make_checkpoint: MakeCheckpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoint = make_checkpoint("tiny_resnet")
    case = KILLED[name]
    few_scenes(tmp_path, monkeypatch, case.images)
    left = iter(range(looks - 1))
    with pytest.raises(StoppedEarly, match=where) as stopped:
        evaluate(name, checkpoint, tmp_path / "run", should_stop=lambda: next(left, None) is None, **case.options)
    assert stopped.value.progressed == (goes_on_after > 0)
    asked: list[int] = []
    for _ in range(2):  # the second time there is nothing left to train
        asked.append(0)

        def count() -> bool:
            asked[-1] += 1
            return False

        metrics = evaluate(name, checkpoint, tmp_path / "run", should_stop=count, **case.options)
        assert set(metrics) == case.metrics
    assert asked[0] - asked[1] == case.iterations - goes_on_after
    assert not list((tmp_path / "run" / "checkpoints").rglob("stopped_*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["segmentation", "detection"])
@needs("mmseg")
@needs("mmdet")
def test_a_killed_training_continues_from_the_librarys_last_checkpoint(
    name: str, make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = make_checkpoint("tiny_resnet")
    case = KILLED[name]
    scenes = few_scenes(tmp_path, monkeypatch, case.images)
    script = (
        "import sys; from pathlib import Path; import pytest\n"
        "from tests.evaluators.dense.scenes import evaluate, read_scenes\n"
        "read_scenes(Path(sys.argv[3]), pytest.MonkeyPatch())\n"
        f"evaluate({name!r}, Path(sys.argv[1]), Path(sys.argv[2]), **{case.options!r})"
    )
    run = tmp_path / "run"
    noted = run / "checkpoints" / "openmmlab" / "last_checkpoint"
    command = [sys.executable, "-c", script, str(checkpoint), str(run), str(scenes)]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 180
        while not (noted.exists() and noted.read_text().endswith(case.noted)):
            assert time.monotonic() < deadline
            assert child.poll() is None
            time.sleep(0.02)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    done = int(Path(noted.read_text()).stem.rpartition("_")[2]) * case.checkpoint_every
    assert done < case.iterations
    curves = Curves()
    metrics = evaluate(name, checkpoint, run, report=curves, **case.options)
    iterations = [round(row["epoch"] * case.images / case.options["global_batch_size"]) for row in curves.rows]
    assert iterations[0] > done
    assert iterations[-1] == case.iterations
    assert set(metrics) == case.metrics
    # Killed after training and before the record: nothing is trained again, and the number is the same.
    again = Curves()
    assert evaluate(name, checkpoint, run, report=again, **case.options) == metrics
    assert again.rows == []

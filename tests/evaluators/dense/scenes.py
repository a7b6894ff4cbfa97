"""Short dense evaluations, and a few digit scenes for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluators.interface import Context
from evaluators.lookup import find_evaluator, resolve_evaluation
from tests.evaluators.conftest import Curves, subject

SEGMENTATION_METRICS = {"mIoU", "mAcc", "aAcc"}
DETECTION_METRICS = {f"{kind}_AP{at}" for kind in ("box", "mask") for at in ("", "50", "75")}
DATASETS = {"segmentation": "digit_scenes", "detection": "digit_objects"}
BRIEF: dict[str, dict[str, Any]] = {
    "segmentation": {"iterations": 4, "global_batch_size": 2, "optimizer": {"warmup_iterations": 0}},
    "detection": {"base_epochs": 1, "global_batch_size": 8},
}


def configured(name: str, backbone: str, **options: Any) -> Any:
    return resolve_evaluation(name, subject=subject(backbone), options={"dataset": DATASETS[name], **options})


def evaluate(
    name: str,
    checkpoint: Path,
    directory: Path,
    *,
    root: Path | None = None,
    report: Any = None,
    workers: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
    **options: Any,
) -> dict[str, float]:
    config = configured(name, checkpoint.stem, **{**BRIEF[name], **options})
    context = Context(root, directory, "cpu", workers, report or Curves(), should_stop)
    return find_evaluator(name).evaluate(checkpoint, config, context)


def few_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: int = 16, val: int = 4) -> Path:
    """A copy of the digit scenes with the first few images, which the data sets are told to read."""
    from pretrain.datasets._scenes import scenes_directory

    copy = tmp_path / "scenes"
    source = scenes_directory()
    for split, part, count in (("train", "training", train), ("val", "validation", val)):
        for folder in (f"ADEChallengeData2016/images/{part}", f"ADEChallengeData2016/annotations/{part}"):
            (copy / folder).mkdir(parents=True)
            for path in sorted((source / folder).iterdir())[:count]:
                shutil.copy(path, copy / folder)
        images = copy / "coco" / f"{split}2017"
        images.mkdir(parents=True)
        tables = json.loads((source / "coco" / "annotations" / f"instances_{split}2017.json").read_text())
        tables["images"] = tables["images"][:count]
        kept = {image["id"] for image in tables["images"]}
        tables["annotations"] = [a for a in tables["annotations"] if a["image_id"] in kept]
        for image in tables["images"]:
            shutil.copy(source / "coco" / f"{split}2017" / image["file_name"], images)
        path = copy / "coco" / "annotations" / f"instances_{split}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(tables))
    read_scenes(copy, monkeypatch)
    return copy


def read_scenes(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the data sets read the scenes in ``directory``."""
    for name in DATASETS.values():
        monkeypatch.setattr(f"pretrain.datasets.{name}.scenes_directory", lambda: directory)

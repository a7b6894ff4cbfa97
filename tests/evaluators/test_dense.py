"""Segmentation and detection from a checkpoint to metrics on digit scenes, by the real libraries."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluators.dense.library import versions
from evaluators.interface import Context
from evaluators.lookup import find_evaluator, resolve_evaluation, why_unavailable
from pretrain.checkpoint import CheckpointHeader, read_header
from pretrain.config import Normalisation
from pretrain.datasets import find_dataset
from pretrain.errors import InputError
from tests.evaluators.conftest import Curves, MakeCheckpoint, subject
from tests.evaluators.dense_stack import needs

GOLDEN = Path(__file__).parent.parent / "golden" / "dense"
IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
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
    name: str, checkpoint: Path, directory: Path, *, root: Path | None = None, report: Any = None, **options: Any
) -> dict[str, float]:
    config = configured(name, checkpoint.stem, **{**BRIEF[name], **options})
    context = Context(root, directory, "cpu", 0, report or Curves())
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
    for name in DATASETS.values():
        monkeypatch.setattr(f"pretrain.datasets.{name}.scenes_directory", lambda: copy)
    return copy


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


@pytest.mark.slow
@needs("mmseg")
def test_a_killed_training_continues_from_the_librarys_last_checkpoint(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint("tiny_resnet")
    options = {"iterations": 60, "global_batch_size": 4}
    script = (
        "import sys; from pathlib import Path; from tests.evaluators.test_dense import evaluate; "
        f"evaluate('segmentation', Path(sys.argv[1]), Path(sys.argv[2]), **{options!r})"
    )
    run = tmp_path / "run"
    noted = run / "checkpoints" / "openmmlab" / "last_checkpoint"
    child = subprocess.Popen([sys.executable, "-c", script, str(checkpoint), str(run)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (noted.exists() and noted.read_text().endswith(("iter_9.pth", "iter_12.pth", "iter_15.pth"))):
            assert time.monotonic() < deadline
            assert child.poll() is None
            time.sleep(0.02)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    done = int(Path(noted.read_text()).stem.removeprefix("iter_"))
    assert done < 60
    curves = Curves()
    metrics = evaluate("segmentation", checkpoint, run, report=curves, **options)
    iterations = [round(row["epoch"] * 240 / 4) for row in curves.rows]
    assert iterations == list(range(done + 1, 61))
    assert set(metrics) == SEGMENTATION_METRICS
    # Killed after training and before the record: nothing is trained again, and the number is the same.
    assert evaluate("segmentation", checkpoint, run, **options) == metrics


@needs("mmseg")
def test_a_perfect_segmentation_has_iou_1_and_a_shuffled_one_is_near_chance() -> None:
    from evaluators.dense.mmseg_parts import ClassIoU
    from pretrain.datasets._scenes import draw_scenes

    info = find_dataset("digit_scenes").INFO
    labels = torch.tensor(np.stack([scene.mask for scene in draw_scenes("val")])).long() - 1
    labels[labels < 0] = 255

    def judged(predictions: torch.Tensor) -> dict[str, float]:
        metric = ClassIoU(iou_metrics=["mIoU"])
        metric.dataset_meta = {"classes": info.classes}
        for label, predicted in zip(labels, predictions, strict=True):
            metric.process({}, [{"pred_sem_seg": {"data": predicted[None]}, "gt_sem_seg": {"data": label[None]}}])
        values: dict[str, float] = metric.evaluate(len(labels))
        assert tuple(metric.per_class) == info.classes
        return values

    perfect = judged(labels.where(labels != 255, torch.tensor(0)))
    assert {perfect[name] for name in SEGMENTATION_METRICS} == {100.0}
    known = labels[labels != 255]
    shuffled = labels.clone()
    shuffled[labels != 255] = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(0))]
    shares = torch.bincount(known, minlength=11) / len(known)
    chance = float((shares**2 / (2 * shares - shares**2)).mean() * 100)
    found = judged(shuffled.where(shuffled != 255, torch.tensor(0)))
    assert found["mIoU"] == pytest.approx(chance, abs=0.5)


@needs("mmdet")
def test_a_perfect_detection_has_ap_1_and_wrong_classes_next_to_none() -> None:
    from evaluators.dense.operators import ensure_operators

    ensure_operators()
    from evaluators.dense.mmdet_parts import ClassAP
    from pretrain.datasets._scenes import draw_scenes, scenes_directory

    info = find_dataset("digit_objects").INFO
    scenes = draw_scenes("val")

    def judged(shift: int) -> tuple[dict[str, float], dict[str, Any]]:
        path = scenes_directory() / "coco" / "annotations" / "instances_val2017.json"
        metric = ClassAP(ann_file=str(path), metric=["bbox", "segm"], classwise=True)
        metric.dataset_meta = {"classes": info.classes}
        for number, scene in enumerate(scenes, start=1):
            found = [np.argwhere(mask)[:, ::-1] for _, mask in scene.digits]
            corners = [np.concatenate([points.min(axis=0), points.max(axis=0) + 1]) for points in found]
            masks = torch.tensor(np.stack([mask for _, mask in scene.digits]))
            predicted = {
                "bboxes": torch.tensor(np.array(corners)).float(),
                "scores": torch.ones(len(masks)),
                "labels": torch.tensor([(label + shift) % 10 for label, _ in scene.digits]),
                "masks": masks,
            }
            metric.process({}, [{"img_id": number, "ori_shape": (64, 64), "pred_instances": predicted}])
        return metric.evaluate(len(scenes)), metric.per_class

    perfect, per_class = judged(0)
    assert perfect["coco/bbox_mAP"] == perfect["coco/segm_mAP"] == 1.0
    assert all(values == {"box_AP": 100.0, "mask_AP": 100.0} for values in per_class.values())
    wrong, _ = judged(1)
    assert wrong["coco/bbox_mAP"] < 0.01


def published_header(backbone: str) -> CheckpointHeader:
    return CheckpointHeader(
        role="backbone", backbone=backbone, num_heads=None, position_embedding=None, image_size=224,
        normalisation=IMAGENET, method="opera", epochs=300, run_id="pretrain-golden", sha256="0" * 64,
    )  # fmt: skip


GOLDEN_CONFIGS = {
    "segmentation-r50": ("segmentation", "resnet50", {}),
    "segmentation-vit-paper": ("segmentation", "vit_small", {"test_mode": "slide"}),
    "segmentation-vit-zoo": ("segmentation", "vit_small", {"preset": "zoo"}),
    "detection-r50": ("detection", "resnet50", {"schedule": "2x"}),
    "detection-r50-zoo": ("detection", "resnet50", {"preset": "zoo"}),
}


def golden_text(name: str) -> str:
    from evaluators.dense.operators import ensure_operators
    from evaluators.dense.place import Place, config_text

    ensure_operators()
    evaluator, backbone, options = GOLDEN_CONFIGS[name]
    config = resolve_evaluation(evaluator, subject=subject(backbone, dataset="imagenet"), options=options)
    assert config.recipe.id == name
    if evaluator == "segmentation":
        from evaluators.dense.segmenter import library_config
    else:
        from evaluators.dense.detector import library_config
    header = published_header(backbone)
    installed = ", ".join(f"{package} {number}" for package, number in versions().items())
    return f"# {installed}\n{config_text(library_config(config, header, Place()))}"


@needs("mmdet")
@pytest.mark.parametrize("name", GOLDEN_CONFIGS)
def test_the_published_configurations(name: str) -> None:
    """Regenerate with ``python -m tests.evaluators.test_dense``."""
    golden = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    found = golden_text(name)
    if found.splitlines()[0] != golden.splitlines()[0]:
        pytest.skip(f"written for {golden.splitlines()[0]}, installed is {found.splitlines()[0]}")
    assert found == golden


@needs("mmseg")
def test_the_rate_follows_the_global_batch_and_the_shape_of_the_work_does_not_follow_the_machine() -> None:
    from evaluators.dense.place import Place
    from evaluators.dense.segmenter import library_config

    config = configured("segmentation", "tiny_resnet", global_batch_size=32)
    header = published_header("tiny_resnet")
    alone, shared = (library_config(config, header, Place(world_size=size)) for size in (1, 4))
    assert alone["optim_wrapper"]["optimizer"]["lr"] == pytest.approx(4 * config.optimizer.base_learning_rate)
    assert (alone["train_dataloader"]["batch_size"], shared["train_dataloader"]["batch_size"]) == (32, 8)
    shared["train_dataloader"]["batch_size"] = 32
    assert alone == shared
    with pytest.raises(InputError, match="32 can't be shared evenly by 5 processes"):
        library_config(config, header, Place(world_size=5))


def test_what_does_not_fit_is_refused_when_planned() -> None:
    with pytest.raises(InputError, match="head: fcn is for a resnet, tiny_vit is a vit; use upernet"):
        configured("segmentation", "tiny_vit", head="fcn")
    with pytest.raises(InputError, match="warmup_iterations must be below the 10 iterations"):
        configured("segmentation", "tiny_vit", iterations=10)
    with pytest.raises(InputError, match="Mask R-CNN with FPN is for a resnet, vit_small is a vit"):
        resolve_evaluation(
            "detection", subject=subject("vit_small"), options={"dataset": "coco"}, recipe="detection-r50"
        )
    with pytest.raises(InputError, match="dataset: digits is for classification, evaluator segmentation needs one for"):
        configured("segmentation", "tiny_vit", dataset="digits")
    with pytest.raises(InputError, match="dataset: coco is for detection, evaluator linear needs one for classif"):
        resolve_evaluation("linear", subject=subject(), options={"dataset": "coco"})


def test_where_no_library_is_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluators.dense.library.find_spec", lambda name: None if name == "mmdet" else object())
    assert why_unavailable("segmentation") is None
    reason = why_unavailable("detection")
    assert reason == (
        "MMDetection can't run in this Python, which lacks mmdet: pip install 'opera-bench[dense]', or OpenMMLab's own "
        "mmengine, mmcv and mmdet"
    )
    assert why_unavailable("linear") is None


@needs("mmseg")
def test_a_damaged_segmentation_set_is_named(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    checkpoint = make_checkpoint("tiny_resnet")
    masks = few_scenes(tmp_path, monkeypatch) / "ADEChallengeData2016" / "annotations" / "training"
    damaged = sorted(masks.iterdir())[0]
    values = np.array(Image.open(damaged))
    values[5, 5] = 12
    for path in masks.iterdir():
        Image.fromarray(values).save(path)
    with pytest.raises(InputError, match=r"ADE_train_\d+\.png: holds value 12; allowed: 0 for unlabelled .* and 1…11"):
        evaluate("segmentation", checkpoint, tmp_path / "a")
    damaged.unlink()
    with pytest.raises(InputError, match=rf"images/training/{damaged.stem}\.jpg: has no mask .*{damaged.name}"):
        evaluate("segmentation", checkpoint, tmp_path / "b")


@needs("mmdet")
def test_a_damaged_detection_set_is_named(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = make_checkpoint("tiny_resnet")
    root = few_scenes(tmp_path, monkeypatch) / "coco"
    path = root / "annotations" / "instances_train2017.json"
    whole = path.read_text()
    tables = json.loads(whole)
    (root / "train2017" / tables["images"][1]["file_name"]).rename(tmp_path / "aside.jpg")
    with pytest.raises(InputError, match=r"instances_train2017\.json: names .*000000000002\.jpg, which is missing"):
        evaluate("detection", checkpoint, tmp_path / "a")
    path.write_text(json.dumps({**tables, "annotations": []}))
    with pytest.raises(InputError, match=r"instances_train2017\.json: its table 'annotations' is empty"):
        evaluate("detection", checkpoint, tmp_path / "b")
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"instances_train2017\.json: not a readable annotation file"):
        evaluate("detection", checkpoint, tmp_path / "c")


@pytest.mark.parametrize("name", ["segmentation", "detection"])
def test_planning_imports_no_tensor_library(name: str) -> None:
    script = (
        "import sys; from evaluators.lookup import find_evaluator, why_unavailable; "
        f"find_evaluator({name!r}).Config.model_json_schema(); why_unavailable({name!r}); "
        "print([m for m in ('torch', 'timm', 'numpy', 'mmengine', 'mmcv', 'mmseg', 'mmdet') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


if __name__ == "__main__":
    for golden_name in GOLDEN_CONFIGS:
        (GOLDEN / f"{golden_name}.txt").write_text(golden_text(golden_name), encoding="utf-8")

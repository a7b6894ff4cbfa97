"""The libraries' own metric classes on predictions whose score is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pretrain.datasets import find_dataset
from pretrain.datasets.coco import CATEGORIES
from tests.evaluators.dense.scenes import DETECTION_METRICS, SEGMENTATION_METRICS
from tests.evaluators.dense.stack import needs
from tests.evaluators.dense.variants import SIDE, Tables, write_coco


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


@needs("mmdet")
@pytest.mark.parametrize(
    ("change", "expected"),
    [({}, 100.0), ({"iscrowd": None}, 100.0), ({"iscrowd": 1}, None)],
    ids=["objects", "without iscrowd", "crowds alone"],
)
def test_an_ap_without_objects_is_not_defined(
    change: dict[str, Any], expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing iscrowd is 0. If no box is predicted, AP is 0 where there are objects, else undefined."""
    from evaluators.dense.operators import ensure_operators

    ensure_operators()
    from evaluators.dense import detector
    from evaluators.dense.mmdet_parts import ClassAP

    def alter(split: str, tables: Tables) -> None:
        for annotation in tables["annotations"]:
            annotation.update(change)
            if annotation["iscrowd"] is None:
                del annotation["iscrowd"]

    path = write_coco(tmp_path, alter) / "annotations" / "instances_val2017.json"
    tables = json.loads(path.read_text())

    def judged(is_found: bool) -> tuple[dict[str, float | None], dict[str, Any]]:
        metric = ClassAP(ann_file=str(path), metric=["bbox", "segm"], classwise=True)
        metric.dataset_meta = {"classes": CATEGORIES}
        for image in tables["images"]:
            found = [a for a in tables["annotations"] if is_found and a["image_id"] == image["id"]]
            boxes = torch.tensor([a["bbox"] for a in found]).reshape(-1, 4).float()
            boxes[:, 2:] += boxes[:, :2]
            masks = torch.zeros(len(found), SIDE, SIDE, dtype=torch.bool)
            for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
                mask[top:bottom, left:right] = True
            labels = torch.tensor([a["category_id"] - 1 for a in found], dtype=torch.long)
            predicted = {"bboxes": boxes, "scores": torch.ones(len(found)), "labels": labels, "masks": masks}
            metric.process({}, [{"img_id": image["id"], "ori_shape": (SIDE, SIDE), "pred_instances": predicted}])
        values = metric.evaluate(len(tables["images"]))
        monkeypatch.setattr("evaluators.dense.run.run", lambda **_: values)
        return detector.detect(path, None, None), metric.per_class  # type: ignore[arg-type]

    metrics, per_class = judged(True)
    assert metrics == dict.fromkeys(DETECTION_METRICS, expected)
    assert per_class["person"] == {"box_AP": expected, "mask_AP": expected}
    assert per_class["car"] == {"box_AP": None, "mask_AP": None}
    metrics, per_class = judged(False)
    without_a_box = None if expected is None else 0.0
    assert metrics == dict.fromkeys(DETECTION_METRICS, without_a_box)
    assert per_class["person"] == {"box_AP": without_a_box, "mask_AP": without_a_box}
    assert per_class["car"] == {"box_AP": None, "mask_AP": None}


def test_a_nan_of_an_evaluation_is_null_and_an_infinity_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    from bench.worker.stages import _defined

    assert _defined({"a": 1, "b": float("nan"), "c": None}) == {"a": 1.0, "b": None, "c": None}
    assert capsys.readouterr().out == "not defined on this data: b, c\n"
    with pytest.raises(ArithmeticError, match="metric a is inf"):
        _defined({"a": float("inf"), "b": None})

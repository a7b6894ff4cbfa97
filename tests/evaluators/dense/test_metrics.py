"""The libraries' own metric classes on predictions whose score is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pretrain.datasets import find_dataset
from tests.evaluators.dense.scenes import SEGMENTATION_METRICS
from tests.evaluators.dense.stack import needs


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

"""This suite's parts for MMSegmentation, registered so that configurations can name them."""

from __future__ import annotations

import math
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import METRICS, TRANSFORMS
from mmseg.evaluation.metrics import IoUMetric

from pretrain.errors import InputError

IGNORED = 255


@TRANSFORMS.register_module()
class RequireKnownLabels(BaseTransform):
    """Refuses a mask with a value outside the classes: on a GPU it would crash the process without naming the file."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        labels = results["gt_seg_map"]
        wrong = labels[(labels >= self.num_classes) & (labels != IGNORED)]
        if wrong.size:
            # The library subtracted 1 from every value in the file.
            value = int(wrong.flat[0]) + 1
            raise InputError(
                f"{results['seg_map_path']}: contains the value {value}; allowed: 0 for unlabelled pixels, "
                f"1 to {self.num_classes} for the classes"
            )
        return results


@METRICS.register_module()
class ClassIoU(IoUMetric):
    """The library's metric; keeps the values of each class, which the library only prints, in ``per_class``."""

    per_class: dict[str, dict[str, float | None]]

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        areas = [sum(column) for column in zip(*results, strict=True)]
        values = self.total_area_to_metrics(*areas, self.metrics, self.nan_to_num, self.beta)
        self.per_class = {
            name: {metric: _percent(values[metric][index]) for metric in ("IoU", "Acc")}
            for index, name in enumerate(self.dataset_meta["classes"])
        }
        computed: dict[str, float] = super().compute_metrics(results)
        return computed


def _percent(share: Any) -> float | None:
    """Return the share in percent; None for a class that is neither predicted nor in the ground truth."""
    value = float(share)
    return None if math.isnan(value) else round(100 * value, 2)

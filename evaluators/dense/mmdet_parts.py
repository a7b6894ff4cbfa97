"""What this suite adds to MMDetection, registered so that configurations can name it."""

from __future__ import annotations

import math
from typing import Any

from mmdet.evaluation.metrics import CocoMetric
from mmengine.registry import METRICS

_WORDS = {"bbox": "box_AP", "segm": "mask_AP"}


@METRICS.register_module()
class ClassAP(CocoMetric):
    """The library's metric, with what it computes for each class in ``per_class`` instead of among the others."""

    metrics: list[str]
    per_class: dict[str, dict[str, float | None]]

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        self.per_class = {name: {} for name in self.dataset_meta["classes"]}
        computed: dict[str, float] = {}
        # One kind at a time: the library names the classes' values the same for boxes and masks.
        kinds: list[str] = list(self.metrics)
        for kind in kinds:
            self.metrics = [kind]
            values: dict[str, float] = super().compute_metrics(results)
            for name in self.per_class:
                share = values.pop(f"{name}_precision", None)
                is_judged = share is not None and not math.isnan(share)
                self.per_class[name][_WORDS[kind]] = round(100 * float(share or 0), 2) if is_judged else None
            computed.update(values)
        self.metrics = kinds
        return computed

"""This suite's parts for MMDetection, registered so that configurations can name them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation.metrics import CocoMetric
from mmengine.registry import DATASETS, METRICS

from pretrain.errors import InputError

_WORDS = {"bbox": "box_AP", "segm": "mask_AP"}


class CategoriesInOrder(COCO):
    """Refuses an annotation file whose categories are incomplete or in another order than the classes.

    The library numbers labels in the file's order but takes the names from the classes.
    """

    def __init__(self, annotation_file: str) -> None:
        super().__init__(annotation_file)
        self._file = annotation_file

    def get_cat_ids(self, cat_names: Sequence[str] = (), *others: Any, **more: Any) -> list[int]:
        ids: list[int] = super().get_cat_ids(cat_names, *others, **more)
        names = [self.cats[category]["name"] for category in ids]
        wrong = (pair for pair in zip_longest(names, cat_names) if pair[0] != pair[1])
        # A file with none of the classes belongs to another data set and gets another message.
        if names and (first := next(wrong, None)):
            found, expected = ("none" if name is None else repr(name) for name in first)
            raise InputError(
                f"{self._file}: its table 'categories' must list the classes in the data set's own order; where "
                f"{expected} belongs there is {found}"
            )
        return ids


@DATASETS.register_module()
class OrderedCocoDataset(CocoDataset):
    """The library's data set, checked so that labels match the names of the classes."""

    COCOAPI = CategoriesInOrder


@METRICS.register_module()
class ClassAP(CocoMetric):
    """The library's metric; the values of each class go to ``per_class`` instead of the other metrics.

    An annotation without ``iscrowd`` counts as an object, not as a crowd. If no box was predicted, the library returns
    nothing; here every AP is then 0, or −1 (undefined) if there is no object.
    """

    metrics: list[str]
    per_class: dict[str, dict[str, float | None]]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self._coco_api is not None:
            for annotation in self._coco_api.dataset["annotations"]:
                annotation.setdefault("iscrowd", 0)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        objects = [a["category_id"] for a in self._coco_api.dataset["annotations"] if not a["iscrowd"]]
        names_found = {self._coco_api.cats[category]["name"] for category in objects}
        self.per_class = {name: {} for name in self.dataset_meta["classes"]}
        computed: dict[str, float] = {}
        # Compute one kind at a time: the library gives a class's value the same name for boxes and masks.
        kinds: list[str] = list(self.metrics)
        for kind in kinds:
            self.metrics = [kind]
            values: dict[str, float] = super().compute_metrics(results)
            for suffix in ("", "_50", "_75"):
                values.setdefault(f"{kind}_mAP{suffix}", 0.0 if names_found else -1.0)
            for name in self.per_class:
                share = values.pop(f"{name}_precision", 0.0 if name in names_found else math.nan)
                self.per_class[name][_WORDS[kind]] = None if math.isnan(share) else round(100 * float(share), 2)
            computed.update(values)
        self.metrics = kinds
        return computed

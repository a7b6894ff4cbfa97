"""Defines the metrics of a record: label, unit, direction, printed decimals, tolerance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How one metric is named, printed and compared with a published number. A value in ``%`` lies in 0…100.

    ``tolerance`` is the largest difference, in the metric's unit, between two correct runs of one protocol: codebases
    differ by 0.4 top-1, and 0.3 AP is noise (facebookresearch/moco#39). None if no source gives a value.
    """

    label: str
    unit: str = "%"
    higher_is_better: bool = True
    decimals: int = 1
    tolerance: float | None = None


METRICS: dict[str, Metric] = {
    "top1": Metric("Top-1 accuracy", tolerance=0.4),
    "top5": Metric("Top-5 accuracy", tolerance=0.4),
    "best_top1": Metric("Best top-1 accuracy of any epoch"),
    "knn_top1": Metric("k-NN top-1 accuracy"),
    "recall_at_1": Metric("Recall@1"),
    "train_loss": Metric("Training loss", unit="nats", higher_is_better=False, decimals=3),
    "loss": Metric("Pretraining loss", unit="nats", higher_is_better=False, decimals=3),
    "contrastive_loss": Metric("InfoNCE loss", unit="nats", higher_is_better=False, decimals=3),
    "class_loss": Metric("Cross-entropy of the class head", unit="nats", higher_is_better=False, decimals=3),
    "class_top1": Metric("Top-1 accuracy of the class head on training views"),
    "masked_loss": Metric("Mean absolute error of hidden pixels", unit="", higher_is_better=False, decimals=3),
    "mIoU": Metric("Mean intersection over union", tolerance=0.5),
    "mAcc": Metric("Mean class accuracy", tolerance=0.5),
    "aAcc": Metric("Pixel accuracy", tolerance=0.5),
    "box_AP": Metric("Box AP", tolerance=0.3),
    "box_AP50": Metric("Box AP at IoU 0.5", tolerance=0.3),
    "box_AP75": Metric("Box AP at IoU 0.75", tolerance=0.3),
    "mask_AP": Metric("Mask AP", tolerance=0.3),
    "mask_AP50": Metric("Mask AP at IoU 0.5", tolerance=0.3),
    "mask_AP75": Metric("Mask AP at IoU 0.75", tolerance=0.3),
    **{
        f"{space}_{kind}_cosine": Metric(f"Cosine similarity of {words} in the {space} space", unit="", decimals=3)
        for space in ("backbone", "projection", "instance", "class")
        for kind, words in (
            ("view", "two views of an image"),
            ("same_class", "two images of a class"),
            ("different_class", "two images of different classes"),
        )
    },
}
"""Metric name in a record → label, unit, direction and tolerance."""


HEADLINE_METRICS = ("top1", "knn_top1", "recall_at_1", "mIoU", "box_AP", "mask_AP")
"""The metrics that comparisons use; records and tables hold others as well."""


def is_headline(name: str) -> bool:
    """Whether comparisons use this metric: it is in ``HEADLINE_METRICS``, or unknown, such as a plugin's metric."""
    return name in HEADLINE_METRICS or name not in METRICS


def metric(name: str) -> Metric:
    """The metric called ``name``; if it isn't in ``METRICS``, a metric without unit whose label is ``name``."""
    return METRICS.get(name, Metric(name, unit=""))


def number_or_undefined(value: float | None, form: str = ".6g") -> str:
    """The number in a format such as ``.1f``; ``not defined`` for None."""
    return "not defined" if value is None else format(value, form)

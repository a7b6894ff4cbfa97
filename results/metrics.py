"""What the numbers in a record mean: label, unit, direction, printed decimals."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How one metric is named and printed. Values with unit ``%`` run from 0 to 100."""

    label: str
    unit: str = "%"
    higher_is_better: bool = True
    decimals: int = 1


METRICS: dict[str, Metric] = {
    "top1": Metric("Top-1 accuracy"),
    "top5": Metric("Top-5 accuracy"),
    "best_top1": Metric("Best top-1 accuracy of any epoch"),
    "knn_top1": Metric("k-NN top-1 accuracy"),
    "recall_at_1": Metric("Recall@1"),
    "train_loss": Metric("Training loss", unit="nats", higher_is_better=False, decimals=3),
    "loss": Metric("Pretraining loss", unit="nats", higher_is_better=False, decimals=3),
    "contrastive_loss": Metric("InfoNCE loss", unit="nats", higher_is_better=False, decimals=3),
    "class_loss": Metric("Cross-entropy of the class head", unit="nats", higher_is_better=False, decimals=3),
    "class_top1": Metric("Top-1 accuracy of the class head on training views"),
    "masked_loss": Metric("Mean absolute error of hidden pixels", unit="", higher_is_better=False, decimals=3),
    "val_recall_at_1": Metric("Recall@1 of the validation images while pretraining"),
    "val_knn_top1": Metric("k-NN top-1 accuracy while pretraining"),
    "mIoU": Metric("Mean intersection over union"),
    "mAcc": Metric("Mean class accuracy"),
    "aAcc": Metric("Pixel accuracy"),
    "box_AP": Metric("Box AP"),
    "box_AP50": Metric("Box AP at IoU 0.5"),
    "box_AP75": Metric("Box AP at IoU 0.75"),
    "mask_AP": Metric("Mask AP"),
    "mask_AP50": Metric("Mask AP at IoU 0.5"),
    "mask_AP75": Metric("Mask AP at IoU 0.75"),
}
"""Metric name in a record → its meaning."""


HEADLINE_METRICS = ("top1", "knn_top1", "recall_at_1", "mIoU", "box_AP", "mask_AP")
"""The metrics a protocol is judged by; the others stand in records and tables."""


def is_headline(name: str) -> bool:
    """Whether comparisons judge by this metric: those above, and all that this suite has not heard of."""
    return name in HEADLINE_METRICS or name not in METRICS


def metric(name: str) -> Metric:
    """The meaning of ``name``; a metric this suite has not heard of is labelled by its own name."""
    return METRICS.get(name, Metric(name, unit=""))

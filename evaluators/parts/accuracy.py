"""Top-1 and top-5 accuracy."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

TOP5_FROM_CLASSES = 6
"""Smallest number of classes with a top-5 accuracy: with fewer, five guesses are nearly always right."""


def accuracies(batches: Iterable[tuple[Tensor, Tensor]], num_classes: int, device: torch.device) -> dict[str, float]:
    """Return the accuracy in percent over all images of all processes.

    Parameters
    ----------
    batches
        Logits (B, classes) and labels (B,) on ``device``.

    Returns
    -------
    ``top1``, and ``top5`` with at least six classes.
    """
    from torchmetrics.classification import MulticlassAccuracy

    ranks = {"top1": 1, "top5": 5} if num_classes >= TOP5_FROM_CLASSES else {"top1": 1}
    metrics = {
        name: MulticlassAccuracy(num_classes, top_k=k, average="micro", validate_args=False).to(device)
        for name, k in ranks.items()
    }
    for logits, labels in batches:
        for metric in metrics.values():
            metric.update(logits, labels)
    # torchmetrics divides in float32, so decimals beyond the fourth are rounding noise.
    return {name: round(100 * float(metric.compute()), 4) for name, metric in metrics.items()}

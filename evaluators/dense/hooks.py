"""What this suite adds to OpenMMLab's training and testing, registered under their names for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook
from mmengine.registry import METRICS, TRANSFORMS
from mmseg.evaluation.metrics import IoUMetric

from evaluators.interface import ReportProgress
from pretrain.engine import NonFiniteLossError
from pretrain.errors import InputError

IGNORED = 255


@TRANSFORMS.register_module()
class RequireKnownLabels(BaseTransform):  # type: ignore[misc]
    """Refuses a mask with a value outside the classes, which on a GPU would end the process without a name."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        labels = results["gt_seg_map"]
        wrong = labels[(labels >= self.num_classes) & (labels != IGNORED)]
        if wrong.size:
            # The library took 1 from every value on disk.
            raise InputError(
                f"{results['seg_map_path']}: holds value {int(wrong.flat[0]) + 1}; allowed: 0 for unlabelled pixels and "
                f"1…{self.num_classes}"
            )
        return results


@METRICS.register_module()
class ClassIoU(IoUMetric):  # type: ignore[misc]
    """The library's metric, which prints the classes' values and forgets them, keeping them in ``per_class``."""

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


class ReportHook(Hook):  # type: ignore[misc]
    """Passes loss and learning rate on to the run's curves, and ends a training whose loss is not finite."""

    priority = "LOW"

    def __init__(self, report: ReportProgress, interval: int, images_per_iteration: int, num_images: int) -> None:
        self.report = report
        self.interval = interval
        self.images_per_iteration = images_per_iteration
        self.num_images = num_images

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        done = runner.iter + 1
        if done % self.interval and done != runner.max_iters:
            return
        loss = float(outputs["loss"])
        if not math.isfinite(loss):
            raise NonFiniteLossError(f"loss is {loss} at iteration {done}; the last checkpoint is from before")
        if runner.rank == 0:
            epochs = self.images_per_iteration / self.num_images
            (rate,) = set(runner.optim_wrapper.get_lr()["lr"])
            self.report(
                epoch=done * epochs,
                total_epochs=runner.max_iters * epochs,
                values={"train_loss": loss, "learning_rate": rate},
            )


class KeepExamples(Hook):  # type: ignore[misc]
    """Keeps the first images of a test with what was predicted, for the contact sheet."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.samples: list[Any] = []

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        room = self.count - len(self.samples)
        self.samples += [sample.cpu() for sample in (outputs or ())[:room]]


def _percent(share: Any) -> float | None:
    """None for a class that is neither predicted nor there."""
    value = float(share)
    return None if np.isnan(value) else round(100 * value, 2)

"""What this suite watches while OpenMMLab's runner trains and tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook

from evaluators.interface import ReportProgress
from pretrain.engine import NonFiniteLossError


class ReportHook(Hook):
    """Passes loss and learning rate on to the run's curves, and ends a training whose loss is not finite."""

    priority = "LOW"

    def __init__(self, report: ReportProgress, interval: int, images_per_iteration: int, num_images: int) -> None:
        self.report = report
        self.interval = interval
        self.images_per_iteration = images_per_iteration
        self.num_images = num_images

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        done = runner.iter + 1
        # At every iteration: the library takes the scalar anyway, and its checkpoints are written between reports.
        loss = float(outputs["loss"].detach())
        if not math.isfinite(loss):
            raise NonFiniteLossError(f"loss is {loss} at iteration {done}; the last checkpoint is from before")
        if runner.rank == 0 and (done % self.interval == 0 or done == runner.max_iters):
            epochs = self.images_per_iteration / self.num_images
            (rate,) = set(runner.optim_wrapper.get_lr()["lr"])
            self.report(
                epoch=done * epochs,
                total_epochs=runner.max_iters * epochs,
                values={"train_loss": loss, "learning_rate": rate},
            )


class KeepExamples(Hook):
    """Keeps the first images of a test with what was predicted, for the contact sheet."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.samples: list[Any] = []

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        room = self.count - len(self.samples)
        self.samples += [sample.cpu() for sample in (outputs or ())[:room]]

"""Hooks for OpenMMLab's runner: report curves, stop on request, keep examples for the contact sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop

from evaluators.dense.checkpoints import remove_stopped, save_stopped
from evaluators.interface import ReportProgress
from pretrain.distributed import agreed
from pretrain.engine import NonFiniteLossError
from pretrain.errors import StoppedEarly


class ReportHook(Hook):
    """Reports loss and learning rate to the run's curves; ends the training if the loss is not finite."""

    priority = "LOW"

    def __init__(self, report: ReportProgress, interval: int, images_per_iteration: int, num_images: int) -> None:
        self.report = report
        self.interval = interval
        self.images_per_iteration = images_per_iteration
        self.num_images = num_images

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        done = runner.iter + 1
        # Check every iteration: the library reads the scalar anyway, and may write a checkpoint between reports.
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


class StopHook(Hook):
    """Ends training or test when the run is asked to stop.

    Iteration-based training resumes exactly. Epoch-based training resumes from the last finished epoch.

    Parameters
    ----------
    directory
        Directory of the library's checkpoints.
    should_stop
        Returns whether to stop; the answer of the first process counts.
    """

    priority = "LOWEST"  # run last, so that the saved state includes changes by other hooks

    def __init__(self, should_stop: Callable[[], bool], device: torch.device, directory: Path) -> None:
        self.should_stop = should_stop
        self.device = device
        self.directory = directory
        self.began_at = 0

    def before_train(self, runner: Any) -> None:
        self.began_at = runner.iter

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        by_iteration = isinstance(runner.train_loop, IterBasedTrainLoop)
        ends_epoch = not by_iteration and batch_idx + 1 == len(runner.train_dataloader)
        if ends_epoch or not agreed(self.should_stop(), self.device):
            return
        done = runner.iter + 1
        if by_iteration:
            save_stopped(runner, self.directory)
        has_saved = by_iteration or runner.iter - batch_idx > self.began_at
        raise StoppedEarly(f"stopped in training, at iteration {done} of {runner.max_iters}", progressed=has_saved)

    def after_train_epoch(self, runner: Any) -> None:
        if agreed(self.should_stop(), self.device):
            raise StoppedEarly(f"stopped in training, after iteration {runner.iter} of {runner.max_iters}")

    def after_train(self, runner: Any) -> None:
        """Remove stop checkpoints: the library has written its last checkpoint."""
        if runner.rank == 0:
            remove_stopped(self.directory)

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if agreed(self.should_stop(), self.device):
            has_trained = runner.iter > self.began_at
            raise StoppedEarly(f"stopped in the test, after batch {batch_idx + 1}", progressed=has_trained)


class KeepExamples(Hook):
    """Keeps the first test images and their predictions for the contact sheet."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.samples: list[Any] = []

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        room = self.count - len(self.samples)
        self.samples += [sample.cpu() for sample in (outputs or ())[:room]]

"""Runs one pretraining, from configuration to checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch

from pretrain.compute import PLAIN, ComputeOptions
from pretrain.config import PretrainConfig
from pretrain.datasets import open_split
from pretrain.distributed import agreed, get_rank, get_world_size, process_group, synchronise_batch_norm
from pretrain.engine.display import TrainingDisplay
from pretrain.engine.export import export, keep_backbone
from pretrain.engine.finite import require_finite_loss, require_finite_weights
from pretrain.engine.learner import Learner
from pretrain.engine.loader import batches, steps_per_epoch
from pretrain.engine.means import RunningMean
from pretrain.engine.monitor import Monitor
from pretrain.engine.outcome import PretrainOutcome
from pretrain.engine.prepare import choose_micro_batch_size, deterministic_kernels, prepare_backbone
from pretrain.engine.state import load_training_state, save_training_state
from pretrain.engine.step import Precision
from pretrain.engine.validation import validate
from pretrain.errors import InputError, StoppedEarly
from pretrain.method import Method
from pretrain.methods.interface import RunFacts
from pretrain.methods.lookup import build_method, find_method
from pretrain.metrics import ReportProgress

MINUTES_BETWEEN_STATES = 10
ROWS_PER_RUN = 200
"""Least number of rows in a run's curves, if it has as many steps; every epoch ends with a row too."""


def pretrain(
    config: PretrainConfig,
    *,
    run_directory: Path,
    data_root: Path | None,
    device: str,
    num_workers: int,
    report: ReportProgress,
    compute: ComputeOptions = PLAIN,
    should_stop: Callable[[], bool] = lambda: False,
) -> PretrainOutcome:
    """Train, or continue training, and write ``checkpoints/backbone.safetensors`` and ``method.safetensors``.

    A run that was killed and called again ends with the same bits, on the same machine with the same number of threads
    and the same ``compute``.

    Parameters
    ----------
    data_root
        Directory of the dataset; None if a package contains it.
    device
        For example ``cpu`` or ``cuda:0``.
    should_stop
        Called after every step; the first process's answer counts.

    Raises
    ------
    InputError
        The data is missing or damaged, the batch does not fit the data or the number of processes, or method or
        backbone do not support the compute options.
    NonFiniteLossError
        The loss or the weights became NaN or infinite.
    StoppedEarly
        ``should_stop`` returned true; the training state is saved.
    """
    target = torch.device(device)
    with process_group(target), deterministic_kernels(compute.deterministic):
        return _Training(config, run_directory, data_root, target, num_workers, report, compute, should_stop).run()


class _Training:
    def __init__(
        self,
        config: PretrainConfig,
        run_directory: Path,
        data_root: Path | None,
        device: torch.device,
        num_workers: int,
        report: ReportProgress,
        compute: ComputeOptions,
        should_stop: Callable[[], bool],
    ) -> None:
        self.config = config
        self.checkpoints = run_directory / "checkpoints"
        self.data_root = data_root
        self.device = device
        self.num_workers = num_workers
        self.report = report
        self.compute = compute
        self.should_stop = should_stop
        self.means = RunningMean()
        self.rank, self.world_size = get_rank(), get_world_size()
        if config.global_batch_size % self.world_size:
            raise InputError(
                f"global_batch_size: {config.global_batch_size} is not divisible by {self.world_size} processes"
            )
        self.share = config.global_batch_size // self.world_size
        if config.mixing and self.share % 2:
            raise InputError(
                f"global_batch_size: each of {self.world_size} processes needs an even share of "
                f"{config.global_batch_size} images, because mixing pairs them"
            )
        self.images = open_split(config.dataset, data_root, "train")
        self.steps_per_epoch = steps_per_epoch(len(self.images), config.global_batch_size) if config.epochs else 0
        self.total_steps = config.epochs * self.steps_per_epoch
        self.facts = RunFacts.of(config, len(self.images))
        self.method = self._build()
        self.precision = Precision.of(config, device)

    def _build(self) -> Method:
        config = self.config
        torch.manual_seed(config.seed)
        built = build_method(
            config.method,
            find_method(config.method),
            config.method_options,
            backbone=config.backbone,
            run=self.facts,
            num_classes=self.images.num_classes,
        )
        method = synchronise_batch_norm(built, self.device).to(self.device).train()
        return cast(Method, method.to(memory_format=torch.channels_last) if self.device.type == "cuda" else method)

    def run(self) -> PretrainOutcome:
        metrics: dict[str, float] = {}
        images_per_second = None
        if self.total_steps:
            prepare_backbone(self.method, self.config, self.compute)
            state = load_training_state(self.checkpoints) or {"step": 0, "metrics": {}}
            step, metrics = state["step"], state["metrics"]
            self.micro_batch_size = self._micro_batch_size(state)
            learner = self._learner()
            if step:
                learner.restore(state)
                self.means.restore(state["means"])
            if step < self.total_steps:
                metrics, images_per_second = self._train(learner, step)
            val = open_split(self.config.dataset, self.data_root, "val")
            metrics |= validate(self.method, val, self.config, self.device, self.num_workers)
        headers = export(self.method, self.config, self.checkpoints) if self.rank == 0 else {}
        size = self.micro_batch_size if self.total_steps else None
        return PretrainOutcome(metrics, images_per_second, headers, self.world_size, size)

    def _micro_batch_size(self, state: dict[str, Any]) -> int:
        """Return the size that a previous attempt found, if any: another size would round sums differently."""
        previous: int | None = state.get("micro_batch_size")
        if self.compute.micro_batch_size == "auto" and previous and state["world_size"] == self.world_size:
            return previous
        return choose_micro_batch_size(self.method, self.config, self.compute, self.precision, self.device)

    def _learner(self) -> Learner:
        return Learner(
            self.method,
            self.config,
            self.facts,
            self.images.num_classes,
            self.device,
            self.precision,
            self.micro_batch_size,
        )

    def _train(self, learner: Learner, first_step: int) -> tuple[dict[str, float], float]:
        row_every = max(self.total_steps // ROWS_PER_RUN, 1)
        metrics: dict[str, float] = {}
        last_saved = time.monotonic()
        raw_batches = batches(
            self.images,
            self.config,
            first_step=first_step,
            rank=self.rank,
            world_size=self.world_size,
            num_workers=self.num_workers,
            pin_memory=self.device.type == "cuda",
        )
        monitor = self._build_monitor()
        with TrainingDisplay(
            self.total_steps, first_step, self.config.global_batch_size, enabled=self.rank == 0
        ) as display:
            for raw in raw_batches:
                loss, logs = learner(raw)
                require_finite_loss(loss, raw, self.images, self.steps_per_epoch, self.rank, self.checkpoints)
                self.means.add({"loss": loss, **logs})
                done = raw.step + 1
                ends_epoch = done % self.steps_per_epoch == 0
                if ends_epoch or done % row_every == 0:
                    due = agreed(time.monotonic() - last_saved > 60 * MINUTES_BETWEEN_STATES, self.device)
                    metrics = self.means.take()
                    display.update(done, metrics)
                    if self.rank == 0:
                        row = {**metrics, "learning_rate": learner.optimizer.param_groups[0]["lr"]}
                        self.report(epoch=done / self.steps_per_epoch, total_epochs=self.config.epochs, values=row)
                    if ends_epoch or due:
                        self._save(learner, done, metrics)
                        last_saved = time.monotonic()
                    if ends_epoch and monitor:
                        with display.paused():
                            self._monitor(monitor, done // self.steps_per_epoch)
                if done < self.total_steps and agreed(self.should_stop(), self.device):
                    self._save(learner, done, metrics)
                    raise StoppedEarly(f"stopped after step {done} of {self.total_steps}; the training state is saved")
            return metrics, display.images_per_second(self.total_steps)

    def _build_monitor(self) -> Monitor | None:
        if not (every := self.compute.monitor_every_epochs):
            return None
        val = open_split(self.config.dataset, self.data_root, "val")
        return Monitor(every, self.images, val, self.config, self.device, self.num_workers, self.should_stop)

    def _monitor(self, monitor: Monitor, epoch: int) -> None:
        if epoch % monitor.every_epochs == 0 and (values := monitor.measure(self.method.exported_backbone())):
            self.report(epoch=epoch, total_epochs=self.config.epochs, values=values)

    def _save(self, learner: Learner, step: int, metrics: dict[str, float]) -> None:
        """Save the epoch's backbone, if wanted, before the state, so that a resumed run has both."""
        kept = learner.state()
        # Check on every process: all hold the same weights and must stop together.
        require_finite_weights(kept["method"], step, self.checkpoints)
        means = self.means.state()
        if self.rank != 0:
            return
        epoch, within = divmod(step, self.steps_per_epoch)
        if within == 0 and step < self.total_steps:
            keep_backbone(self.method, self.config, self.checkpoints, epoch, self.compute)
        state: dict[str, Any] = {
            "step": step,
            "metrics": metrics,
            "means": means,
            **kept,
            "micro_batch_size": self.micro_batch_size,
            "world_size": self.world_size,
        }
        save_training_state(self.checkpoints, state)

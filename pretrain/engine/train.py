"""One pretraining run, from configuration to checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from pretrain.backbones.lookup import find_backbone
from pretrain.batch import Batch
from pretrain.checkpoint import BACKBONE_FILE, METHOD_FILE, CheckpointHeader, save_checkpoint
from pretrain.config import PretrainConfig
from pretrain.datasets import open_split
from pretrain.distributed import (
    agreed,
    get_rank,
    get_world_size,
    mean_over_processes,
    process_group,
    synchronise_batch_norm,
)
from pretrain.engine.display import TrainingDisplay
from pretrain.engine.loader import RawBatch, batches, steps_per_epoch
from pretrain.engine.state import load_training_state, save_training_state
from pretrain.errors import InputError
from pretrain.methods.interface import Method
from pretrain.methods.lookup import find_method
from pretrain.optim import build_optimizer
from pretrain.randomness import AUGMENT, METHOD, STEP, derive_seed
from pretrain.schedules import warmup_cosine
from pretrain.views.augment import augment, draw_parameters

MINUTES_BETWEEN_STATES = 10
ROWS_PER_RUN = 200
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


class NonFiniteLossError(RuntimeError):
    """Training met NaN or infinity; the last training state on disk is from before."""


class ReportProgress(Protocol):
    """Adds one row to the run's curves; ``epoch`` may be fractional."""

    def __call__(self, *, epoch: float, total_epochs: float, values: Mapping[str, float]) -> None: ...


@dataclass(frozen=True)
class PretrainOutcome:
    """What a run leaves: means over the last stretch of training, speed, and checkpoints by role."""

    metrics: dict[str, float]
    images_per_second: float | None
    checkpoints: dict[str, CheckpointHeader]
    world_size: int


@dataclass
class RunningMean:
    """Means of logged scalars since the last row."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0

    def add(self, values: dict[str, Tensor]) -> None:
        self.count += 1
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def take(self) -> dict[str, float]:
        means = mean_over_processes({name: total / self.count for name, total in self.sums.items()})
        self.sums, self.count = {}, 0
        return means


def pretrain(
    config: PretrainConfig,
    *,
    run_directory: Path,
    data_root: Path | None,
    device: str,
    num_workers: int,
    report: ReportProgress,
) -> PretrainOutcome:
    """Train, or continue training, and write ``checkpoints/backbone.safetensors`` and ``method.safetensors``.

    The weights are a function of the configuration alone: a run that was killed and called again ends with the same
    bits, on the same machine with the same number of threads.

    Raises
    ------
    InputError
        Data that is missing or damaged, or a batch that the data or the processes can't make up.
    NonFiniteLossError
        The loss or the weights became NaN or infinite; the message names step and images.
    """
    target = torch.device(device)
    with process_group(target):
        return _Training(config, run_directory, data_root, target, num_workers, report).run()


class _Training:
    def __init__(
        self,
        config: PretrainConfig,
        run_directory: Path,
        data_root: Path | None,
        device: torch.device,
        num_workers: int,
        report: ReportProgress,
    ) -> None:
        self.config = config
        self.checkpoints = run_directory / "checkpoints"
        self.run_id = run_directory.name
        self.device = device
        self.num_workers = num_workers
        self.report = report
        self.rank, self.world_size = get_rank(), get_world_size()
        if config.global_batch_size % self.world_size:
            raise InputError(
                f"global_batch_size: {config.global_batch_size} is not divisible by {self.world_size} processes"
            )
        self.images = open_split(config.dataset, data_root, "train")
        self.steps_per_epoch = steps_per_epoch(len(self.images), config.global_batch_size) if config.epochs else 0
        self.total_steps = config.epochs * self.steps_per_epoch
        self.method = self._build()
        self.model: nn.Module = self.method
        if self.world_size > 1 and self.total_steps:
            self.model = DistributedDataParallel(self.method, [device] if device.type == "cuda" else None)
        self.precision = PRECISIONS.get(config.precision)
        # Only fp16 on a GPU underflows enough to need loss scaling.
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16" and device.type == "cuda")

    def _build(self) -> nn.Module:
        config = self.config
        torch.manual_seed(config.seed)
        backbone = find_backbone(config.backbone)
        module = find_method(config.method)
        method = module.build(
            module.Config.model_validate(config.method_options),
            backbone=backbone.build(config.image_size),
            feature_dimension=backbone.INFO.width,
            num_classes=self.images.num_classes,
        )
        method = synchronise_batch_norm(method, self.device).to(self.device).train()
        return method.to(memory_format=torch.channels_last) if self.device.type == "cuda" else method

    def run(self) -> PretrainOutcome:
        metrics: dict[str, float] = {}
        images_per_second = None
        if self.total_steps:
            optimizer = build_optimizer(self.config.optimizer, self.method, self.device)
            step, metrics = self._resume(optimizer)
            if step < self.total_steps:
                metrics, images_per_second = self._train(optimizer, step)
        headers = self._export() if self.rank == 0 else {}
        return PretrainOutcome(metrics, images_per_second, headers, self.world_size)

    def _train(self, optimizer: Optimizer, first_step: int) -> tuple[dict[str, float], float]:
        row_every = max(self.total_steps // ROWS_PER_RUN, 1)
        means = RunningMean()
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
        with TrainingDisplay(
            self.total_steps, first_step, self.config.global_batch_size, enabled=self.rank == 0
        ) as display:
            for raw in raw_batches:
                means.add(self._step(raw, optimizer))
                done = raw.step + 1
                ends_epoch = done % self.steps_per_epoch == 0
                if ends_epoch or done % row_every == 0:
                    due = agreed(time.monotonic() - last_saved > 60 * MINUTES_BETWEEN_STATES, self.device)
                    metrics = means.take()
                    display.update(done, metrics)
                    if self.rank == 0:
                        row = {**metrics, "learning_rate": optimizer.param_groups[0]["lr"]}
                        self.report(epoch=done / self.steps_per_epoch, total_epochs=self.config.epochs, values=row)
                    if ends_epoch or due:
                        self._save(optimizer, done, metrics)
                        last_saved = time.monotonic()
            return metrics, display.images_per_second(self.total_steps)

    def _step(self, raw: RawBatch, optimizer: Optimizer) -> dict[str, Tensor]:
        config = self.config
        torch.manual_seed(derive_seed(config.seed, STEP, raw.step, self.rank))
        cast(Method, self.method).on_step(raw.step / self.total_steps)
        rate = config.optimizer
        for group in optimizer.param_groups:
            group["lr"] = warmup_cosine(
                raw.step / self.steps_per_epoch,
                total_epochs=config.epochs,
                warmup_epochs=rate.warmup_epochs,
                peak=rate.base_learning_rate * config.global_batch_size / rate.base_batch_size,
                floor=rate.final_learning_rate,
            )
        batch = self._augmented(raw)
        optimizer.zero_grad(set_to_none=True)
        autocast = torch.autocast(self.device.type, self.precision) if self.precision else nullcontext()
        with autocast:
            loss, logs = self.model(batch)
        if not torch.isfinite(loss):
            raise NonFiniteLossError(self._describe_non_finite(f"loss is {loss.item()}", raw))
        self.scaler.scale(loss).backward()
        self.scaler.step(optimizer)
        self.scaler.update()
        return {"loss": loss.detach(), **logs}

    def _augmented(self, raw: RawBatch) -> Batch:
        """The per-batch stage: parameters are drawn for the whole global batch, of which this process has its rows."""
        views = []
        share = len(raw.labels)
        for number, view in enumerate(self.config.views):
            generator = torch.Generator().manual_seed(derive_seed(self.config.seed, AUGMENT, raw.step, number))
            drawn = draw_parameters(view, self.config.global_batch_size, generator)
            mine = drawn.rows(self.rank * share, (self.rank + 1) * share).to(self.device)
            images = raw.views[number].to(self.device, non_blocking=True)
            views.append(augment(images, mine, view, self.config.normalisation))
        return Batch(
            tuple(views),
            raw.labels.to(self.device),
            raw.indices,
            first_row=self.rank * share,
            draw_seed=derive_seed(self.config.seed, METHOD, raw.step),
        )

    def _resume(self, optimizer: Optimizer) -> tuple[int, dict[str, float]]:
        state = load_training_state(self.checkpoints)
        if state is None:
            return 0, {}
        self.method.load_state_dict(state["method"])
        optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        return state["step"], state["metrics"]

    def _save(self, optimizer: Optimizer, step: int, metrics: dict[str, float]) -> None:
        weights = self.method.state_dict()
        # On every process: they hold the same weights, and all must stop together.
        for name, tensor in weights.items():
            if not torch.isfinite(tensor).all():
                raise NonFiniteLossError(f"weights {name} are not finite after step {step}; {self._last_state()}")
        if self.rank != 0:
            return
        state: dict[str, Any] = {
            "step": step,
            "metrics": metrics,
            "method": weights,
            "optimizer": optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        save_training_state(self.checkpoints, state)

    def _describe_non_finite(self, what: str, raw: RawBatch) -> str:
        names = ", ".join(self.images.describe(int(index)) for index in raw.indices[:4])
        epoch = raw.step // self.steps_per_epoch
        batch = raw.step % self.steps_per_epoch
        return (
            f"{what} at step {raw.step} (epoch {epoch}, batch {batch}, images {names}, …) on rank {self.rank}; "
            f"{self._last_state()}"
        )

    def _last_state(self) -> str:
        state = load_training_state(self.checkpoints)
        return f"the last good training state is step {state['step']}" if state else "no training state was saved yet"

    def _export(self) -> dict[str, CheckpointHeader]:
        info = find_backbone(self.config.backbone).INFO
        common = {
            "backbone": info.name,
            "num_heads": info.num_heads,
            "position_embedding": info.position_embedding,
            "image_size": self.config.image_size,
            "normalisation": self.config.normalisation,
            "method": self.config.method,
            "epochs": self.config.epochs,
            "run_id": self.run_id,
        }
        backbone = cast(nn.Module, self.method.backbone)
        files = {"method": (METHOD_FILE, self.method), "backbone": (BACKBONE_FILE, backbone)}
        return {
            role: save_checkpoint(self.checkpoints / name, module.state_dict(), {**common, "role": role})
            for role, (name, module) in files.items()
        }

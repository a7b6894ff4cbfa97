"""Computes gradients from a whole batch at once; ``microbatch`` does so in micro-batches."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pretrain.batch import Batch
from pretrain.config import PretrainConfig
from pretrain.distributed import get_world_size
from pretrain.engine.augmented import AugmentedBatch
from pretrain.method import Method

_LOW_PRECISION = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """Autocast for forward passes (``dtype`` None: fp32) and loss scaling for backward passes."""

    device_type: str
    dtype: torch.dtype | None
    scaler: torch.amp.GradScaler

    @classmethod
    def of(cls, config: PretrainConfig, device: torch.device) -> Precision:
        # Only fp16 gradients on a GPU underflow enough to need loss scaling.
        scaled = config.precision == "fp16" and device.type == "cuda"
        dtype = _LOW_PRECISION.get(config.precision)
        return cls(device.type, dtype, torch.amp.GradScaler(device.type, enabled=scaled))

    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device_type, self.dtype) if self.dtype else nullcontext()


class ComputeGradients(Protocol):
    """Adds the gradient of the global batch's loss, times the loss scale, to the parameters' ``.grad``."""

    def __call__(self, batch: AugmentedBatch, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return this process's loss and scalars to log, all detached; ``seed`` seeds the method's torch draws."""
        ...


class PlainStep:
    """Runs one forward and one backward pass over this process's share, and averages gradients over processes."""

    def __init__(self, method: nn.Module, precision: Precision, device: torch.device) -> None:
        self.precision = precision
        self.model: nn.Module = _LossAsForward(method)
        if get_world_size() > 1:
            self.model = DistributedDataParallel(self.model, [device] if device.type == "cuda" else None)

    def __call__(self, batch: AugmentedBatch, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(seed)
        full_batch = batch.full_batch()
        with self.precision.autocast():
            loss, logs = self.model(full_batch)
        self.precision.scaler.scale(loss).backward()
        return loss.detach(), logs


class _LossAsForward(nn.Module):
    """Computes the loss in ``forward``, because DistributedDataParallel hooks into it."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return cast(Method, self.method).loss(batch)

"""From a batch to gradients, all at once. The same in micro-batches is ``microbatch``."""

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
    """How numbers are rounded: autocast for the forward passes, loss scaling for the backward ones."""

    device_type: str
    dtype: torch.dtype | None
    scaler: torch.amp.GradScaler

    @classmethod
    def of(cls, config: PretrainConfig, device: torch.device) -> Precision:
        # Only fp16 on a GPU underflows enough to need loss scaling.
        scaled = config.precision == "fp16" and device.type == "cuda"
        dtype = _LOW_PRECISION.get(config.precision)
        return cls(device.type, dtype, torch.amp.GradScaler(device.type, enabled=scaled))

    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device_type, self.dtype) if self.dtype else nullcontext()


class ComputeGradients(Protocol):
    """Adds to ``.grad`` of the method's parameters the gradient of the global batch's loss, times the loss scale."""

    def __call__(self, batch: AugmentedBatch, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """This process's loss and scalars worth logging, all detached; ``seed`` is that of the method's own draws."""
        ...


class PlainStep:
    """One forward and one backward pass over this process's share; gradients are averaged over the processes."""

    def __init__(self, method: nn.Module, precision: Precision, device: torch.device) -> None:
        self.precision = precision
        self.model: nn.Module = _LossAsForward(method)
        if get_world_size() > 1:
            self.model = DistributedDataParallel(self.model, [device] if device.type == "cuda" else None)

    def __call__(self, batch: AugmentedBatch, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(seed)
        images = batch.whole()
        with self.precision.autocast():
            loss, logs = self.model(images)
        self.precision.scaler.scale(loss).backward()
        return loss.detach(), logs


class _LossAsForward(nn.Module):
    """DistributedDataParallel hooks into forward."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return cast(Method, self.method).loss(batch)

"""Settings that segmentation and detection share. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pretrain.config import Integer, Strict


class DenseOptimizerConfig(Strict):
    """``base_learning_rate`` is per ``base_batch_size`` images and scales linearly with the global batch."""

    name: Literal["sgd", "adamw"]
    base_learning_rate: float = Field(gt=0)
    base_batch_size: Integer = Field(gt=0)
    weight_decay: float = Field(ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="SGD")
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="AdamW")
    undecayed: tuple[str, ...] = Field(default=(), description="no decay for parameters with one of these in the name")
    warmup_iterations: Integer = Field(ge=0)
    warmup_start: float = Field(default=1e-6, gt=0, le=1, description="the rate warm-up starts from, as a share")


def peak_learning_rate(optimizer: DenseOptimizerConfig, global_batch_size: int) -> float:
    return optimizer.base_learning_rate * global_batch_size / optimizer.base_batch_size

"""Settings shared by several evaluators. Imports no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from evaluators.interface import EvaluatorConfig
from pretrain.config import LARGEST_BATCH, MOST_EPOCHS, Integer, Probability, Strict
from pretrain.metrics import Metric
from pretrain.views.finetuning import MixupConfig, TrainAugmentationConfig

TRAINED_METRICS = (
    # Codebases that reproduce MoCo-v3 differ by 0.4 in top-1 and top-5 accuracy.
    Metric(name="top1", label="Top-1 accuracy", unit="%", higher_is_better=True, tolerance=0.4, headline=True),
    Metric(name="top5", label="Top-5 accuracy", unit="%", higher_is_better=True, tolerance=0.4, optional=True),
    Metric(name="best_top1", label="Best top-1 accuracy of any epoch", unit="%", higher_is_better=True),
    Metric(name="train_loss", label="Training loss", unit="nats", higher_is_better=False, decimals=3),
)
"""Metrics of protocols that train a classifier by epochs; ``top5`` needs six classes."""


class EvaluationOptimizerConfig(Strict):
    """An optimiser; ``base_learning_rate`` is per ``base_batch_size`` images and scales linearly with the batch."""

    name: Literal["adamw", "sgd"]
    base_learning_rate: float = Field(gt=0)
    base_batch_size: Integer = Field(gt=0)
    weight_decay: float = Field(ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="SGD")
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="AdamW")

    def peak_learning_rate(self, global_batch_size: int) -> float:
        return self.base_learning_rate * global_batch_size / self.base_batch_size


class FinetuneOptimizerConfig(EvaluationOptimizerConfig):
    """An optimiser with one rate per epoch: linear from ``warmup_learning_rate`` over ``warmup_epochs``, then half a
    cosine to ``final_learning_rate``. These two rates are not scaled with the batch.

    Biases, norms, class token and position embedding have no weight decay.
    """

    epsilon: float = Field(default=1e-8, gt=0, description="AdamW")
    warmup_epochs: Integer = Field(ge=0)
    warmup_learning_rate: float = Field(ge=0)
    final_learning_rate: float = Field(ge=0)


class TrainingConfig(EvaluatorConfig):
    """Training on augmented images by epochs. Image size and normalisation are the checkpoint's."""

    epochs: Integer = Field(gt=0, le=MOST_EPOCHS)
    global_batch_size: Integer = Field(gt=0, le=LARGEST_BATCH)
    augmentation: TrainAugmentationConfig


class FinetuneConfig(TrainingConfig):
    """End-to-end training of a pretrained backbone with a linear head."""

    precision: Literal["fp32", "bf16", "fp16"]
    optimizer: FinetuneOptimizerConfig
    mixup: MixupConfig
    repeated_augmentations: Integer = Field(ge=1, description="copies of an image in a batch, each augmented anew")
    drop_path_rate: Probability = Field(description="of the last block, rising linearly from 0; ViTs only")

    @model_validator(mode="after")
    def _mixing_needs_pairs(self) -> Self:
        if mixes(self) and self.global_batch_size % 2:
            raise ValueError(f"global_batch_size must be even for mixup and CutMix, not {self.global_batch_size}")
        return self


def mixes(config: FinetuneConfig) -> bool:
    """Return whether mixup or CutMix is on."""
    return config.mixup.mixup_alpha > 0 or config.mixup.cutmix_alpha > 0

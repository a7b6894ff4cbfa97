"""Settings shared by several evaluators. Imports no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from evaluators.interface import EvaluatorConfig
from pretrain.backbones.interface import BackboneInfo
from pretrain.config import LARGEST_BATCH, MOST_EPOCHS, Integer, Interpolation, Probability, RareSettings, Strict
from pretrain.errors import InputError
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


class FinetuneOptimizerConfig(RareSettings, EvaluationOptimizerConfig):
    """An optimiser whose rate rises linearly from ``warmup_learning_rate`` over ``warmup_epochs``, then falls on half a
    cosine to ``final_learning_rate``. These two rates are not scaled with the batch.

    Biases, norms, class token and position embedding have no weight decay.
    """

    RARE = frozenset({"rate_changes", "cosine_begins", "layer_decay", "clip_norm"})

    epsilon: float = Field(default=1e-8, gt=0, description="AdamW")
    warmup_epochs: Integer = Field(ge=0)
    warmup_learning_rate: float = Field(ge=0)
    final_learning_rate: float = Field(ge=0)
    rate_changes: Literal["epoch", "step"] = Field(default="epoch", description="epoch: as in DeiT, an epoch late")
    cosine_begins: Literal["at_first_epoch", "after_warmup"] = Field(
        default="at_first_epoch", description="at_first_epoch: the warm-up replaces the cosine's beginning, as in timm"
    )
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="factor of the rate from a block to the block below it; ViTs only"
    )
    clip_norm: float | None = Field(default=None, gt=0, description="largest norm of all gradients together")


class TrainingConfig(RareSettings, EvaluatorConfig):
    """Training on augmented images by epochs. Image size and normalisation are the checkpoint's."""

    RARE = frozenset({"validation_interpolation"})

    epochs: Integer = Field(gt=0, le=MOST_EPOCHS)
    global_batch_size: Integer = Field(gt=0, le=LARGEST_BATCH)
    augmentation: TrainAugmentationConfig
    validation_interpolation: Interpolation | None = Field(default=None, description="None: the augmentation's")

    @property
    def interpolation_of_val(self) -> Interpolation:
        return self.validation_interpolation or self.augmentation.interpolation


class FinetuneConfig(TrainingConfig):
    """End-to-end training of a pretrained backbone with a linear head."""

    RARE = TrainingConfig.RARE | {"pooling", "position_bias", "head_init_std"}

    precision: Literal["fp32", "bf16", "fp16"]
    optimizer: FinetuneOptimizerConfig
    mixup: MixupConfig
    repeated_augmentations: Integer = Field(ge=1, description="copies of an image in a batch, each augmented anew")
    drop_path_rate: Probability = Field(description="of the last block, rising linearly from 0; ViTs only")
    pooling: Literal["backbone", "mean"] = Field(
        default="backbone", description="mean: of the patch tokens, with a new normalisation after it; ViTs only"
    )
    position_bias: Literal["shared", "per_block"] = Field(
        default="shared", description="per_block: each block trains a copy of BEiT's shared table"
    )
    head_init_std: float = Field(default=0.02, gt=0, description="of the head's truncated normal initialisation")

    def require_fits(self, backbone: BackboneInfo) -> None:
        vits_only = {"layer_decay": self.optimizer.layer_decay != 1, "pooling": self.pooling != "backbone"}
        for setting, used in vits_only.items():
            if used and backbone.family != "vit":
                key = ("optimizer", setting) if setting == "layer_decay" else (setting,)
                usual = 1 if setting == "layer_decay" else "backbone"
                raise InputError(f"{'.'.join(key)}: needs a vision transformer; {backbone.name} takes {usual}", key=key)
        if self.position_bias == "per_block" and backbone.position_embedding != "relative":
            raise InputError(
                f"position_bias: {backbone.name} has no position bias that its blocks share; set position_bias: shared",
                key=("position_bias",),
            )

    @model_validator(mode="after")
    def _cosine_has_epochs(self) -> Self:
        optimizer = self.optimizer
        if optimizer.cosine_begins == "after_warmup" and optimizer.warmup_epochs >= self.epochs:
            warmup = optimizer.warmup_epochs
            raise ValueError(f"epochs must be more than optimizer.warmup_epochs, which is {warmup}, not {self.epochs}")
        return self

    @model_validator(mode="after")
    def _mixing_needs_pairs(self) -> Self:
        if mixes(self) and self.global_batch_size % 2:
            raise ValueError(f"global_batch_size must be even for mixup and CutMix, not {self.global_batch_size}")
        return self


def mixes(config: FinetuneConfig) -> bool:
    """Return whether mixup or CutMix is on."""
    return config.mixup.mixup_alpha > 0 or config.mixup.cutmix_alpha > 0

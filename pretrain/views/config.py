"""Settings of the supervised training transform. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pretrain.config import CropRatio, CropScale, Interpolation, MixingConfig, Probability, Strict


class TrainAugmentationConfig(Strict):
    """The per-image training transform of DeiT (Touvron et al. 2021, table 9), as timm builds it.

    ``color_jitter`` is the strength of brightness, contrast and saturation. As in DeiT, it applies only if
    ``auto_augment`` is None, because RandAugment contains colour operations.
    """

    auto_augment: str | None = Field(default=None, description="timm's notation, e.g. rand-m9-mstd0.5-inc1")
    color_jitter: float | None = Field(default=None, ge=0)
    crop_scale: CropScale = (0.08, 1.0)
    crop_ratio: CropRatio = (3 / 4, 4 / 3)
    flip_probability: Probability = 0.5
    interpolation: Interpolation = "bicubic"
    random_erasing_probability: Probability = 0.0
    random_erasing_mode: Literal["const", "rand", "pixel"] = "pixel"


class MixupConfig(MixingConfig):
    """Mixup, CutMix and label smoothing of a batch; an alpha of 0 disables its operation."""

    mixup_alpha: float = Field(default=0.0, ge=0)
    cutmix_alpha: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)

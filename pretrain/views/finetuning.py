"""Settings of the augmentation of finetuning. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pretrain.config import AugmentationConfig, Interpolation, MixingConfig


class TrainAugmentationConfig(AugmentationConfig):
    """The augmentation of DeiT (Touvron et al. 2021, table 9), as timm builds it.

    ``color_jitter`` is the strength of brightness, contrast and saturation. As in DeiT, it applies only if
    ``auto_augment`` is None, because RandAugment contains colour operations.
    """

    color_jitter: float | None = Field(default=None, ge=0)
    interpolation: Interpolation = "bicubic"
    random_erasing_mode: Literal["const", "rand", "pixel"] = "pixel"

    @property
    def only_crops(self) -> bool:
        """Whether images are only cropped and flipped."""
        return self.auto_augment is None and not self.color_jitter and self.random_erasing_probability == 0


class MixupConfig(MixingConfig):
    """Mixup, CutMix and label smoothing of a batch; an alpha of 0 disables its operation."""

    mixup_alpha: float = Field(default=0.0, ge=0)
    cutmix_alpha: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)

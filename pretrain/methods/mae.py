"""MAE (He et al., arXiv 2111.06377): encode a quarter of the patches, and decode the pixels of the others.

Source: the official ``models_mae.py`` and ``PRETRAIN.md``. The target is each hidden patch's pixels, normalised by the
patch's own mean and deviation. Its backbone is ``vit_base``; the official position embedding has rows and columns the
other way round, which renames channels and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.backbones.lookup import find_backbone
from pretrain.config import DEEPEST, WIDEST, Integer, PretrainConfig, Strict
from pretrain.errors import InputError
from pretrain.methods.parts.requirements import (
    require_position_embedding,
    require_views_of_image_size,
    visible_patches,
)
from pretrain.metrics import FEATURE_STD, Metric

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

METRICS = (
    Metric(
        name="masked_loss",
        label="Mean squared error of hidden patches, each normalised",
        unit="",
        higher_is_better=False,
        decimals=3,
    ),
    FEATURE_STD,
)


class Config(Strict):
    """The masked share and the decoder of MAE."""

    mask_ratio: float = Field(default=0.75, gt=0, lt=1, description="share of the patches that the encoder never sees")
    decoder_width: Integer = Field(default=512, gt=0, multiple_of=4, le=WIDEST)
    decoder_depth: Integer = Field(default=8, ge=1, le=DEEPEST, description="transformer blocks")
    decoder_heads: Integer = Field(default=16, gt=0, description="attention heads; they divide decoder_width")


def check(config: PretrainConfig) -> None:
    """Refuse a backbone without position embeddings, small views, and a mask or decoder that don't come out even.

    Raises
    ------
    InputError
        Always with the setting to change.
    """
    require_position_embedding(config)
    require_views_of_image_size(config)
    options = Config.model_validate(config.method_options)
    if options.decoder_width % options.decoder_heads:
        raise InputError(
            f"decoder_heads: {options.decoder_heads} must divide decoder_width {options.decoder_width}",
            key=("decoder_heads",),
        )
    patches = (config.image_size // (find_backbone(config.backbone).INFO.patch_size or 1)) ** 2
    if visible_patches(patches, options.mask_ratio) == 0:
        raise InputError(f"mask_ratio: {options.mask_ratio:g} hides all {patches} patches", key=("mask_ratio",))


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.methods.networks.mae import MAE

    return MAE(config, backbone, feature_dimension)

"""SimMIM (Xie et al., arXiv 2111.09886): a linear layer predicts the hidden pixels from the tokens of their patches.

Source: the official ``simmim.py``, ``data_simmim.py`` and ``vision_transformer.py``. A learned token replaces the
embeddings of random squares, and the loss is the mean absolute error of their normalised pixels. The backbone is
``beit_base``, SimMIM's own ViT. Other ViTs work and are not the paper's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.config import Integer, PretrainConfig, Probability, Strict
from pretrain.errors import InputError
from pretrain.hierarchy import MaskedPixels
from pretrain.methods.parts.requirements import require_patches, require_views_of_image_size
from pretrain.metrics import FEATURE_STD

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

METRICS = (*MaskedPixels.METRICS, FEATURE_STD)


class Config(Strict):
    """The masked squares of SimMIM."""

    mask_ratio: float = Field(default=0.6, gt=0, lt=1, description="share of the squares that are hidden, rounded up")
    mask_square: Integer = Field(default=32, gt=0, description="side of a hidden square in pixels")
    drop_path_rate: Probability = Field(default=0.1, description="of the last block, rising linearly from 0")


def check(config: PretrainConfig) -> None:
    """Refuse a backbone without patches, small views, and squares that are not made of patches.

    Raises
    ------
    InputError
        Always with the setting to change.
    """
    patch = require_patches(config)
    require_views_of_image_size(config)
    square = config.method_options["mask_square"]
    if square % patch or config.image_size % square:
        raise InputError(
            f"mask_square: {square} must be a multiple of the {patch}-pixel patches of {config.backbone} and divide "
            f"the image size {config.image_size}",
            key=("mask_square",),
        )


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.methods.networks.simmim import SimMIM

    return SimMIM(config, backbone, feature_dimension)

"""OPERA over masked images (paper appendix C, eqs. 35 and 36): a masked-image space under the instance space.

backbone → **masked pixels**, backbone → projection → **instance** → **class**. The appendix gives this structure, but
no settings and no experiments. These are the choices of this project:

* Masking and reconstruction are SimMIM's (Xie et al., arXiv 2111.09886): a learned token replaces random squares after
  the patch embedding, and a linear decoder predicts the hidden pixels from the patch tokens. The loss is their mean
  absolute error. SimMIM hides 60 % of an image of 224 pixels, in squares of 32 pixels.
* The instance and class spaces see the whole image, as in OPERA. So the backbone runs twice per image, once on the
  masked one.
* Both views are masked, independently. The pixels to predict are those of the augmented, normalised view.
* The patch projection stays at its random initialisation, as in MoCo-v3 and OPERA.
* The weight multiplies the sum over the two views, as in OPERA: 0.5 is eq. 36's unit weight on their mean.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.backbones.lookup import find_backbone
from pretrain.config import Integer, PretrainConfig
from pretrain.errors import InputError
from pretrain.hierarchy import MASKED_PATCHES, Head, Hierarchy, MaskedPixels, Masking, Space
from pretrain.methods import opera

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

METRICS = (*MaskedPixels.METRICS, *opera.METRICS)


class Config(opera.Config):
    """Options of OPERA and of the masked-image space."""

    masked_weight: float = Field(default=0.5, ge=0)
    mask_ratio: float = Field(default=0.6, gt=0, lt=1, description="share of the squares that are hidden")
    mask_square: Integer = Field(default=32, gt=0, description="side of a hidden square in pixels")


def check(config: PretrainConfig) -> None:
    """Refuse what OPERA refuses, a backbone without patches, and squares that don't consist of whole patches.

    Raises
    ------
    InputError
        The message begins with the setting to change.
    """
    opera.check(config)
    backbone = find_backbone(config.backbone).INFO
    if backbone.patch_size is None:
        raise InputError(f"backbone: opera_mim masks patches of a ViT, and {backbone.name} has no patches; use a ViT")
    square = config.method_options["mask_square"]
    for size in sorted({view.size or config.image_size for view in config.views}):
        if square % backbone.patch_size or size % square:
            raise InputError(
                f"mask_square: {square} must be a multiple of the {backbone.patch_size}-pixel patches of "
                f"{backbone.name} and divide the image size {size}"
            )


def hierarchy(config: Config, num_classes: int, patch_size: int) -> Hierarchy:
    above = opera.hierarchy(config, num_classes)
    pixels = 3 * patch_size**2
    decoder = Head(layers=1, hidden_dimension=pixels, output_dimension=pixels, bias=True)
    masked = Space("masked", MASKED_PATCHES, decoder, MaskedPixels(config.masked_weight))
    return replace(above, spaces=(masked, *above.spaces), masking=Masking(config.mask_ratio, config.mask_square))


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.backbones.families.vit import patch_size
    from pretrain.hierarchy.module import HierarchicalMethod

    return HierarchicalMethod(backbone, feature_dimension, hierarchy(config, num_classes, patch_size(backbone)))

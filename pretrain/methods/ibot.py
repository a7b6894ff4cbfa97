"""iBOT (Zhou et al., arXiv 2111.07832): DINO, and the same distillation for hidden patches of the global crops.

Source: the official ``main_ibot.py`` and ``loader.py``. The student sees the two global crops with blocks of patches
hidden, its teacher sees them whole. Class tokens are compared as in DINO, and the tokens of hidden patches with the
teacher's at the same position. One head serves both, each with a centre of its own. The defaults are the arguments of
the ViT-B/16 with block masks. The teacher's backbone is what the run leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.config import WIDEST, Integer, PretrainConfig
from pretrain.errors import InputError
from pretrain.methods import dino
from pretrain.methods.parts.requirements import require_patches
from pretrain.metrics import Metric

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

METRICS = (
    *dino.METRICS,
    Metric(
        name="patch_loss",
        label="Cross-entropy of student and teacher on hidden patches",
        unit="nats",
        higher_is_better=False,
        decimals=3,
    ),
)


class Config(dino.Config):
    """DINO's options, and the masks and weights of iBOT."""

    output_dimension: Integer = Field(default=8192, gt=1, le=WIDEST, description="prototypes of the head")
    mask_ratio: float = Field(default=0.3, gt=0, lt=1, description="mean share of hidden patches in a masked crop")
    mask_ratio_range: float = Field(default=0.2, ge=0, description="largest distance of a crop's share from that mean")
    masked_share: float = Field(default=0.5, gt=0, le=1, description="chance of a global crop to be masked at all")
    patch_weight: float = Field(default=1.0, ge=0, description="of the patches' loss beside the class tokens'")


def check(config: PretrainConfig) -> None:
    """Refuse what DINO refuses, a backbone without patches, and masks of more or less than an image.

    Raises
    ------
    InputError
        Always with the setting to change.
    """
    dino.check(config)
    require_patches(config)
    options = Config.model_validate(config.method_options)
    if not options.mask_ratio_range <= min(options.mask_ratio, 1 - options.mask_ratio):
        raise InputError(
            f"mask_ratio_range: {options.mask_ratio_range:g} must keep mask_ratio {options.mask_ratio:g} between 0 "
            "and 1",
            key=("mask_ratio_range",),
        )


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.methods.networks.ibot import IBOT

    return IBOT(config, backbone, feature_dimension)

"""MSN (Assran et al., arXiv 2204.07141): a masked view must be assigned to the prototypes that the whole view has.

Source: the official ``msn_train.py``, ``losses.py``, ``deit.py`` and the paper's appendix A. Of the views, the first is
the random anchor, of which a random part of the patches is dropped; the second is the target, which only the momentum
teacher sees; all others are focal anchors, small and whole. The defaults are those of ViT-B/16. The teacher's backbone
is what the run leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.config import WIDEST, Integer, PretrainConfig, Strict
from pretrain.errors import InputError
from pretrain.methods.parts.requirements import TARGET, require_position_embedding
from pretrain.metrics import FEATURE_STD, Metric

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

METRICS = (
    Metric(
        name="assignment_loss",
        label="Cross-entropy of anchor and target assignments",
        unit="nats",
        higher_is_better=False,
        decimals=3,
    ),
    Metric(
        name="distance_from_uniform",
        label="Distance of the mean assignment from uniform",
        unit="nats",
        higher_is_better=False,
        decimals=3,
    ),
    FEATURE_STD,
)


class Config(Strict):
    """Masking, head, prototypes and teacher of MSN."""

    mask_ratio: float = Field(default=0.3, ge=0, lt=1, description="share of patches dropped from the random anchor")
    prototypes: Integer = Field(default=1024, gt=1, le=WIDEST)
    hidden_dimension: Integer = Field(default=2048, gt=0, le=WIDEST, description="hidden width of the head")
    output_dimension: Integer = Field(default=256, gt=0, le=WIDEST, description="output of the head")
    temperature: float = Field(default=0.1, gt=0, description="of anchors and targets")
    target_sharpening: float = Field(default=0.25, gt=0, description="a further temperature of the targets")
    sinkhorn_iterations: Integer = Field(default=3, ge=0, description="balancing the targets over prototypes; 0: none")
    entropy_weight: float = Field(default=1.0, ge=0, description="of the mean anchor's distance from uniform (me-max)")
    target_momentum: float = Field(default=0.996, ge=0, le=1)
    momentum_schedule_length: float = Field(default=1.25, ge=1, description="times the training, until momentum 1")


def check(config: PretrainConfig) -> None:
    """Refuse a run without an anchor and a target, and a backbone that can't drop patches.

    Raises
    ------
    InputError
        Always with the setting to change.
    """
    if len(config.each_view) <= TARGET:
        raise InputError("views: msn needs a random anchor and a target, and takes focal anchors after them")
    require_position_embedding(config)


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.methods.networks.msn import MSN

    return MSN(config, backbone, feature_dimension)

"""DINO (Caron et al., arXiv 2104.14294): a student predicts, from any crop, what a momentum teacher sees in large ones.

Source: the official ``main_dino.py``, ``vision_transformer.py`` and ``utils.py``. The first two views are the global
crops. The teacher sees these alone; the student sees all views and matches every pair of two different crops. The
defaults are the arguments of the released ViT-B/16. The teacher's backbone is what the run leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.config import WIDEST, Integer, PretrainConfig, Probability, Strict
from pretrain.errors import InputError
from pretrain.methods.parts.requirements import GLOBAL_VIEWS
from pretrain.metrics import FEATURE_STD, Metric

if TYPE_CHECKING:
    from torch import nn

    from pretrain.methods.interface import RunFacts

METRICS = (
    Metric(
        name="distillation_loss",
        label="Cross-entropy of student and teacher",
        unit="nats",
        higher_is_better=False,
        decimals=3,
    ),
    FEATURE_STD,
)


class Config(Strict):
    """Head, temperatures and teacher of DINO."""

    output_dimension: Integer = Field(default=65536, gt=1, le=WIDEST, description="prototypes of the head")
    hidden_dimension: Integer = Field(default=2048, gt=0, le=WIDEST, description="hidden width of the head")
    bottleneck_dimension: Integer = Field(default=256, gt=0, le=WIDEST)
    student_temperature: float = Field(default=0.1, gt=0)
    first_teacher_temperature: float = Field(default=0.04, gt=0, description="in the first epoch")
    teacher_temperature: float = Field(default=0.07, gt=0, description="from the end of its warm-up on")
    teacher_temperature_warmup_epochs: Integer = Field(default=50, ge=0)
    target_momentum: float = Field(default=0.996, ge=0, le=1)
    centre_momentum: float = Field(default=0.9, ge=0, le=1)
    frozen_prototype_epochs: Integer = Field(default=3, ge=0, description="first epochs in which the last layer waits")
    drop_path_rate: Probability = Field(default=0.1, description="of the student's last block; ViTs only")


def check(config: PretrainConfig) -> None:
    """Refuse a run with fewer than two views.

    Raises
    ------
    InputError
        There is no pair of two views.
    """
    if len(config.each_view) < GLOBAL_VIEWS:
        raise InputError(f"views: {config.method} needs two global crops and takes any number of local ones after them")


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.methods.networks.dino import DINO

    return DINO(config, backbone, feature_dimension)

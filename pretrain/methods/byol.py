"""BYOL (Grill et al., arXiv 2006.07733): a view's prediction against the target network's projection of the other view.

backbone → projection → **instance** (predictor). Hidden linear layers have biases and batch normalisation, last ones
neither. The target follows after the optimiser's step, with a momentum that rises to 1 on a cosine. Source:
deepmind-research ``byol/``. Two parts of it are left out: the classifier on features without gradient, which changes
nothing else (the evaluation ``linear`` trains one), and the target's own random start; here it starts as a copy, as in
most reimplementations, and at a momentum of 0.996 half of any start is forgotten after 173 steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.config import WIDEST, Integer, Strict
from pretrain.hierarchy import BACKBONE, Head, Hierarchy, Space
from pretrain.hierarchy.objectives import SpaceViews
from pretrain.methods.parts.requirements import require_two_views
from pretrain.metrics import FEATURE_STD, Metric

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pretrain.methods.interface import RunFacts

INSTANCE_DIMENSION = "embedding_dimension"
check = require_two_views
METRICS = (
    Metric(
        name="regression_loss",
        label="Squared distance of unit vectors, summed over both views",
        unit="",
        higher_is_better=False,
        decimals=3,
    ),
    FEATURE_STD,
)


class Config(Strict):
    """Widths of the heads and the target; the defaults are those of the ImageNet run of 1000 epochs."""

    target_momentum: float = Field(default=0.996, ge=0, le=1, description="at the start; rises to 1")
    mlp_dimension: Integer = Field(default=4096, gt=0, le=WIDEST, description="hidden width of both heads")
    embedding_dimension: Integer = Field(default=256, gt=0, le=WIDEST, description="output of both heads")


@dataclass(frozen=True)
class Regression:
    """Squared distance of unit vectors, summed over both views: 0 at least, 4 if they are orthogonal."""

    target_space: str
    weight: float = 1.0

    def loss(self, views: SpaceViews) -> tuple[Tensor, dict[str, Tensor]]:
        from torch.nn import functional as F

        from pretrain.methods.parts.collapse import feature_std

        rows = slice(views.first_key, views.first_key + len(views.labels))
        first, second = (of_view[self.target_space][rows].detach() for of_view in views.target)
        similarity = (
            F.cosine_similarity(views.online[0], second).mean() + F.cosine_similarity(views.online[1], first).mean()
        )
        loss = 4 - 2 * similarity
        return loss, {"regression_loss": loss.detach(), "feature_std": feature_std(first)}


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.hierarchy.module import HierarchicalMethod
    from pretrain.methods.parts.batch_norm import open_residual_branches

    open_residual_branches(backbone)
    head = Head(2, config.mlp_dimension, config.embedding_dimension, bias=True, last_bias=False)
    spaces = (
        Space("projection", BACKBONE, head),
        Space("instance", "projection", head, Regression("projection")),
    )
    hierarchy = Hierarchy(spaces, config.target_momentum, target_moves="after the step")
    return HierarchicalMethod(backbone, feature_dimension, hierarchy)

"""SimSiam (Chen, He; arXiv 2011.10566): a view's prediction against the other view's projection, without gradient.

backbone → projection (three layers) → **instance** (predictor). There is no target network and there are no negatives;
the stopped gradient keeps features from collapsing. The predictor keeps its peak learning rate, as in the released runs
(``--fix-pred-lr``). Source: facebookresearch/simsiam ``builder.py``, where the projector's last bias exists and is
frozen: the batch normalisation behind it takes it away.
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
    Metric(name="similarity_loss", label="Negative cosine similarity", unit="", higher_is_better=False, decimals=3),
    FEATURE_STD,
)


class Config(Strict):
    """Widths of the heads; the defaults are those of the ImageNet runs."""

    mlp_dimension: Integer = Field(default=2048, gt=0, le=WIDEST, description="hidden width of the projector")
    embedding_dimension: Integer = Field(default=2048, gt=0, le=WIDEST, description="output of both heads")
    predictor_dimension: Integer = Field(default=512, gt=0, le=WIDEST, description="hidden width of the predictor")


@dataclass(frozen=True)
class NegativeCosine:
    """Half the sum of both views' negative cosines, -1 at least."""

    weight: float = 1.0
    target_space: str | None = None

    def loss(self, views: SpaceViews) -> tuple[Tensor, dict[str, Tensor]]:
        from torch.nn import functional as F

        from pretrain.methods.parts.collapse import feature_std

        first, second = (of_view["projection"].to(views.online[0].dtype).detach() for of_view in views.spaces)
        similarity = (
            F.cosine_similarity(views.online[0], second).mean() + F.cosine_similarity(views.online[1], first).mean()
        )
        loss = -similarity / 2
        return loss, {"similarity_loss": loss.detach(), "feature_std": feature_std(first)}


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from torch import nn

    from pretrain.hierarchy.module import HierarchicalMethod

    projector = Head(3, config.mlp_dimension, config.embedding_dimension, last_batch_norm=True, last_bias=True)
    predictor = Head(2, config.predictor_dimension, config.embedding_dimension, last_bias=True)
    spaces = (
        Space("projection", BACKBONE, projector),
        Space("instance", "projection", predictor, NegativeCosine(), constant_learning_rate=True),
    )
    method = HierarchicalMethod(backbone, feature_dimension, Hierarchy(spaces))
    last = [layer for layer in method.heads["projection"].modules() if isinstance(layer, nn.Linear)][-1]
    last.bias.requires_grad_(False)
    return method

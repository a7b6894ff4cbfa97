"""SimCLR (Chen et al., arXiv 2002.05709): each view against the other view and all other images of the batch.

backbone → **instance** (linear, batch normalisation, ReLU, linear, batch normalisation without shift). The loss is the
sum of two means, one for each view as anchor, as in the official ``objective.py``; that is twice the paper's mean over
all 2N anchors. Rows of all processes are negatives, and gradients flow through them. The linear layers start at N(0,
0.01). Source: google-research/simclr with two projector layers, which are SimCLR's first version.
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

INITIAL_STD = 0.01
INSTANCE_DIMENSION = "embedding_dimension"
check = require_two_views
METRICS = (
    Metric(name="contrastive_loss", label="NT-Xent loss", unit="nats", higher_is_better=False, decimals=3),
    FEATURE_STD,
)


class Config(Strict):
    """Temperature and projector; the defaults are those of the ImageNet run at batch size 4096."""

    temperature: float = Field(default=0.1, gt=0)
    mlp_dimension: Integer = Field(default=2048, gt=0, le=WIDEST, description="hidden width of the projector")
    embedding_dimension: Integer = Field(default=128, gt=0, le=WIDEST, description="output of the projector")


@dataclass(frozen=True)
class NTXent:
    """The normalised, temperature-scaled cross-entropy of two views."""

    temperature: float
    weight: float = 1.0
    target_space: str | None = None

    def loss(self, views: SpaceViews) -> tuple[Tensor, dict[str, Tensor]]:
        import torch
        from torch.nn import functional as F

        from pretrain.methods.parts.collapse import feature_std
        from pretrain.methods.parts.gather import gather_with_gradient

        local = [F.normalize(rows, dim=1) for rows in views.online]
        gathered = [gather_with_gradient(rows) for rows in local]
        own_columns = torch.arange(len(local[0]), device=local[0].device) + views.first_key
        total = local[0].new_zeros(())
        for anchor in (0, 1):
            same_view = (local[anchor] @ gathered[anchor].T).scatter(1, own_columns[:, None], -torch.inf)
            logits = torch.cat([local[anchor] @ gathered[1 - anchor].T, same_view], dim=1) / self.temperature
            total = total + F.cross_entropy(logits, own_columns)
        return total, {"contrastive_loss": total.detach(), "feature_std": feature_std(local[0])}


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from torch import nn

    from pretrain.hierarchy.module import HierarchicalMethod

    head = Head(2, config.mlp_dimension, config.embedding_dimension, last_batch_norm="scale")
    method = HierarchicalMethod(
        backbone, feature_dimension, Hierarchy((Space("instance", BACKBONE, head, NTXent(config.temperature)),))
    )
    for layer in method.heads.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=INITIAL_STD)
    return method

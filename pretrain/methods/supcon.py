"""SupCon (Khosla et al., arXiv 2004.11362): all images of a class are positives of each other.

backbone → **instance** (linear, ReLU, linear, with biases; no batch normalisation). The loss is the paper's L_out (eq.
2), averaged over anchors and multiplied by the temperature: the mean over an anchor's positives stands outside the
logarithm. Sources: HobbitLong/SupContrast for the projector; google-research/supcon for ImageNet and for rows of all
processes as positives and negatives (SupContrast contrasts those of one GPU).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from pretrain.config import WIDEST, Integer, PretrainConfig, Strict
from pretrain.errors import InputError
from pretrain.hierarchy import BACKBONE, Head, Hierarchy, Space
from pretrain.hierarchy.objectives import SpaceViews
from pretrain.methods.parts.requirements import require_two_views
from pretrain.metrics import FEATURE_STD, Metric

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pretrain.methods.interface import RunFacts

INSTANCE_DIMENSION = "embedding_dimension"
METRICS = (
    Metric(
        name="contrastive_loss",
        label="Supervised contrastive loss times the temperature",
        unit="nats",
        higher_is_better=False,
        decimals=3,
    ),
    FEATURE_STD,
)


class Config(Strict):
    """Temperature and projector; the defaults are those of the ImageNet run."""

    temperature: float = Field(default=0.1, gt=0)
    mlp_dimension: Integer = Field(default=2048, gt=0, le=WIDEST, description="hidden width of the projector")
    embedding_dimension: Integer = Field(default=128, gt=0, le=WIDEST, description="output of the projector")


def check(config: PretrainConfig) -> None:
    """Refuse other than two views, and mixed labels, by which images are of no one class.

    Raises
    ------
    InputError
        Always with the setting to change.
    """
    require_two_views(config)
    if config.mixing:
        raise InputError("mixing: supcon needs images of one class each; leave this out", key=("mixing",))


@dataclass(frozen=True)
class SupervisedContrast:
    """L_out of all views of all images, times the temperature."""

    temperature: float
    weight: float = 1.0
    target_space: str | None = None

    def loss(self, views: SpaceViews) -> tuple[Tensor, dict[str, Tensor]]:
        import torch
        from torch.nn import functional as F

        from pretrain.methods.parts.collapse import feature_std
        from pretrain.methods.parts.gather import gather, gather_with_gradient

        local = [F.normalize(rows, dim=1) for rows in views.online]
        anchors, gathered = torch.cat(local), torch.cat([gather_with_gradient(rows) for rows in local])
        classes = gather(views.labels)
        own_columns = torch.arange(len(views.labels), device=anchors.device) + views.first_key
        own_columns = torch.cat([own_columns + view * len(classes) for view in range(len(local))])
        positive = views.labels.repeat(len(local))[:, None] == classes.repeat(len(local))
        positive = positive.scatter(1, own_columns[:, None], False)
        similarities = (anchors @ gathered.T / self.temperature).scatter(1, own_columns[:, None], -torch.inf)
        log_probabilities = similarities.log_softmax(dim=1).masked_fill(~positive, 0)
        loss = -self.temperature * (log_probabilities.sum(dim=1) / positive.sum(dim=1)).mean()
        return loss, {"contrastive_loss": loss.detach(), "feature_std": feature_std(local[0])}


def build(config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts) -> nn.Module:
    from pretrain.hierarchy.module import HierarchicalMethod

    head = Head(2, config.mlp_dimension, config.embedding_dimension, bias=True, hidden_batch_norm=False)
    space = Space("instance", BACKBONE, head, SupervisedContrast(config.temperature))
    return HierarchicalMethod(backbone, feature_dimension, Hierarchy((space,)))

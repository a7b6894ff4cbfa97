"""MSN's networks, prototypes and loss; its options, ``config``, are ``pretrain.methods.msn.Config``."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.backbones.families.vit import patch_size, visible_tokens
from pretrain.batch import Place
from pretrain.method import FeatureMethod, ParameterGroup, Step
from pretrain.methods.parts.collapse import feature_std
from pretrain.methods.parts.distillation import (
    initialise_class_token,
    initialise_linear_layers,
    tokens_that_decay,
)
from pretrain.methods.parts.gather import gather, mean_of_rows, rows_of_this_process
from pretrain.methods.parts.requirements import ANCHOR, TARGET
from pretrain.objectives import full_precision
from pretrain.optim.target import follow
from pretrain.randomness import uniform_rows
from pretrain.schedules import target_momentum

Features = Sequence[Mapping[str, Tensor]]


class MSN(FeatureMethod):
    """The anchors' network trains; the target's follows it after each step. Prototypes belong to both."""

    def __init__(self, config: Any, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        initialise_class_token(backbone)
        hidden, output = config.hidden_dimension, config.output_dimension
        self.head = nn.Sequential(
            nn.Linear(width, hidden),
            nn.BatchNorm1d(hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden),
            nn.GELU(),
            nn.Linear(hidden, output),
        )
        initialise_linear_layers(self.head)
        self.target_backbone = copy.deepcopy(backbone).requires_grad_(False)
        self.target_head = copy.deepcopy(self.head).requires_grad_(False)
        bound = 1 / math.sqrt(output)
        self.prototypes = nn.Parameter(torch.empty(config.prototypes, output).uniform_(-bound, bound))

    def exported_backbone(self) -> nn.Module:
        return self.target_backbone

    def parameter_groups(self) -> list[ParameterGroup]:
        return [
            ParameterGroup([self.prototypes], weight_decay=0.0, clipped=False),
            ParameterGroup(tokens_that_decay(self.backbone), always_decays=True),
        ]

    def after_step(self, step: Step) -> None:
        """Move the target's network towards the anchors'."""
        progress = step.progress / self.config.momentum_schedule_length
        momentum = target_momentum(progress, self.config.target_momentum, "linear")
        follow([self.target_backbone, self.target_head], [self.backbone, self.head], momentum)

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        if place.view == TARGET:
            return {}
        if place.view != ANCHOR:
            return {"backbone": self.backbone(images)}
        kept = self.draw_kept(images, place).expand(len(images), -1)
        return {"backbone": visible_tokens(self.backbone, images, kept)[:, 0]}

    def draw_kept(self, images: Tensor, place: Place) -> Tensor:
        """Return the patches of which the anchors keep the tokens, (1, K): the same for all images of the batch."""
        side = patch_size(self.backbone)
        patches = (images.shape[2] // side) * (images.shape[3] // side)
        order = uniform_rows(range(1), patches, (place.draw_seed, place.view)).argsort(axis=1)
        kept = torch.from_numpy(order[:, : math.floor(patches * (1 - self.config.mask_ratio))])
        return kept.to(images.device, non_blocking=True)

    @torch.no_grad()
    def target_features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        return {"backbone": self.target_backbone(images)} if place.view == TARGET else {}

    def loss_from_features(
        self, online: Features, target: Features, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        focal = [view["backbone"] for view in online[TARGET + 1 :]]
        # The official network runs its head once for each size of view, with batch statistics of that size alone.
        groups = [online[ANCHOR]["backbone"], *([torch.cat(focal)] if focal else [])]
        logits = torch.cat([self.compare(self.head(rows)) for rows in groups])
        with torch.no_grad():
            sharp = self.compare(self.target_head(target[TARGET]["backbone"])) / self.config.target_sharpening
            targets = balanced_assignments(sharp.softmax(dim=1), self.config.sinkhorn_iterations)
        log_probabilities = logits.log_softmax(dim=1)
        cross_entropy = -(targets.repeat(1 + len(focal), 1) * log_probabilities).sum(dim=1).mean()
        mean = mean_of_rows(log_probabilities.exp())
        distance_from_uniform = math.log(len(mean)) + torch.special.xlogy(mean, mean).sum()
        logs = {
            "assignment_loss": cross_entropy.detach(),
            "distance_from_uniform": distance_from_uniform.detach(),
            "feature_std": feature_std(target[TARGET]["backbone"]),
        }
        return cross_entropy + self.config.entropy_weight * distance_from_uniform, logs

    def compare(self, embeddings: Tensor) -> Tensor:
        """Return cosines between embeddings (B, output) and prototypes over the temperature, (B, prototypes)."""
        rows = F.normalize(full_precision(embeddings), dim=1)
        prototypes = F.normalize(full_precision(self.prototypes), dim=1)
        scores: Tensor = full_precision(rows @ prototypes.T) / self.config.temperature
        return scores


@torch.no_grad()
def balanced_assignments(scores: Tensor, iterations: int) -> Tensor:
    """Return this process's rows (B, K), scaled so that over all processes each column has an equal sum.

    Each iteration divides by the columns' sums and then by the rows'. So rows sum to exactly 1, and columns nearly to
    rows / K. Source: MSN's official ``losses.py``.

    Parameters
    ----------
    scores
        Non-negative, (B, K).
    """
    gathered = gather(scores)
    for _ in range(iterations):
        gathered = gathered / gathered.sum(dim=0, keepdim=True)
        gathered = gathered / gathered.sum(dim=1, keepdim=True)
    return gathered[rows_of_this_process(len(scores))]

"""Extracts the features of a frozen backbone."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pretrain.config import Normalisation
from pretrain.views.evaluation import normalise


@torch.no_grad()
def extract_features(
    backbone: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    normalisation: Normalisation,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Return features (N, D) float32 and labels (N,) of uint8 images, in their order, on ``device``."""
    features, labels = [], []
    for images, targets in batches:
        features.append(backbone(normalise(images.to(device), normalisation)).float())
        labels.append(targets.to(device))
    return torch.cat(features), torch.cat(labels)

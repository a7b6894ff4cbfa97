"""A backbone with a linear head, to be trained as a whole."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from pretrain.randomness import derive_seed

HEAD = 13
"""Purpose of the head's random draw; the others stand in ``evaluators.parts.data``."""


class Classifier(nn.Module):
    """Images (B, 3, H, W) to logits (B, classes); everything trains.

    The head starts as DeiT's: weights N(0, 0.02) truncated, bias 0.
    """

    def __init__(self, backbone: nn.Module, feature_dimension: int, num_classes: int, seed: int) -> None:
        super().__init__()
        # DeiT also trains the patch projection and the position embedding that MoCo-v3 keeps fixed.
        self.backbone = backbone.requires_grad_(True)
        self.head = nn.Linear(feature_dimension, num_classes)
        generator = torch.Generator().manual_seed(derive_seed(seed, HEAD))
        nn.init.trunc_normal_(self.head.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.backbone(images)))

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that the backbone exempts: class token and position embedding of a ViT."""
        exempt: set[str] = getattr(self.backbone, "no_weight_decay", set)()
        return {f"backbone.{name}" for name in exempt}

"""A backbone with a linear head, trained as a whole."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from pretrain.randomness import derive_seed

HEAD = 13
"""Purpose number of the head's random draw; ``evaluators.parts.data`` lists the others."""


class Classifier(nn.Module):
    """Images (B, 3, H, W) to logits (B, classes); everything trains.

    The head starts as in DeiT: truncated normal weights with standard deviation 0.02, bias 0.
    """

    def __init__(self, backbone: nn.Module, feature_dimension: int, num_classes: int, seed: int) -> None:
        super().__init__()
        # As in DeiT, the patch projection and the position embedding, which MoCo-v3 keeps fixed, train too.
        self.backbone = backbone.requires_grad_(True)
        self.head = nn.Linear(feature_dimension, num_classes)
        generator = torch.Generator().manual_seed(derive_seed(seed, HEAD))
        nn.init.trunc_normal_(self.head.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.backbone(images)))

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that the backbone exempts: a ViT's class token and position embedding."""
        exempt: set[str] = getattr(self.backbone, "no_weight_decay", set)()
        return {f"backbone.{name}" for name in exempt}

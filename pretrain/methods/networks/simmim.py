"""SimMIM's mask token, decoder and loss; its options, ``config``, are ``pretrain.methods.simmim.Config``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.backbones.families.beit import truncated_normal
from pretrain.backbones.families.drop_path import draw_paths_at, set_drop_path
from pretrain.backbones.families.vit import masked_tokens, patch_size
from pretrain.batch import Place
from pretrain.hierarchy.masking import draw_masks
from pretrain.hierarchy.spaces import Masking
from pretrain.method import FeatureMethod
from pretrain.methods.parts.collapse import feature_std
from pretrain.objectives import full_precision, masked_absolute_errors

Features = Sequence[Mapping[str, Tensor]]


class SimMIM(FeatureMethod):
    """One linear layer predicts the pixels of a patch, channel by channel, from its token."""

    def __init__(self, config: Any, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.masking = Masking(config.mask_ratio, config.mask_square)
        self.backbone = backbone
        self.patch_size = patch_size(backbone)
        set_drop_path(backbone, config.drop_path_rate)
        # Three dimensions, because vectors are exempt from weight decay and the official code decays this token.
        self.token = nn.Parameter(torch.empty(1, 1, width))
        truncated_normal(self.token)
        self.decoder = nn.Linear(width, 3 * self.patch_size**2)

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """Return each image's error, (B,), and its class token, (B, width)."""
        draw_paths_at(self.backbone, place)
        mask = self.draw_mask(images, place)
        tokens = masked_tokens(self.backbone, images, mask, self.token)
        patches = tokens[:, tokens.shape[1] - mask.shape[1] :]
        errors = masked_absolute_errors(full_precision(self.decoder(patches)), images, mask)
        return {"error": errors, "backbone": tokens[:, 0]}

    def draw_mask(self, images: Tensor, place: Place) -> Tensor:
        """Return which patches of the images are hidden, (B, patches)."""
        masks = draw_masks(
            self.masking,
            image_size=images.shape[-1],
            patch_size=self.patch_size,
            rows=range(place.first_row, place.first_row + len(images)),
            seed=(place.draw_seed, place.view),
        )
        return masks.to(images.device, non_blocking=True)

    def loss_from_features(
        self, online: Features, target: Features, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        loss = torch.stack([view["error"].mean() for view in online]).mean()
        return loss, {"masked_loss": loss.detach(), "feature_std": feature_std(online[0]["backbone"])}

"""iBOT's masks and patch loss; its options, ``config``, are ``pretrain.methods.ibot.Config``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.backbones.families.drop_path import draw_paths_at
from pretrain.backbones.families.vit import masked_tokens, patch_size
from pretrain.batch import Place
from pretrain.methods.networks.dino import DINO
from pretrain.methods.parts.block_masks import Mask, block_mask, masks_at
from pretrain.methods.parts.collapse import feature_std
from pretrain.methods.parts.distillation import Centre
from pretrain.methods.parts.requirements import GLOBAL_VIEWS
from pretrain.objectives import full_precision

Features = Sequence[Mapping[str, Tensor]]


class IBOT(DINO):
    """DINO's student and teacher. The student's global crops have hidden patches."""

    def __init__(self, config: Any, backbone: nn.Module, width: int) -> None:
        super().__init__(config, backbone, width)
        # Two dimensions, because vectors are exempt from weight decay and the official code decays this token.
        self.token = nn.Parameter(torch.zeros(1, width))
        self.patch_centre = Centre(config.output_dimension, config.centre_momentum)
        self.patch_size = patch_size(backbone)

    def draw_mask(self, images: Tensor, place: Place) -> Tensor:
        """Return which patches of the images are hidden, (B, patches); half of the images have none by default."""
        rows, columns = images.shape[2] // self.patch_size, images.shape[3] // self.patch_size
        config = self.config

        def draw(generator: np.random.Generator) -> Mask:
            ratio = config.mask_ratio + config.mask_ratio_range * generator.uniform(-1, 1)
            masked = generator.random() < config.masked_share
            smallest = (min(rows, columns) // 3) ** 2
            return block_mask(rows, columns, ratio * rows * columns if masked else 0, smallest, generator)

        return masks_at(place, len(images), draw).to(images.device, non_blocking=True)

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """Return the class token, (B, width), and for global crops the patches' tokens, (B, patches, width)."""
        if place.view >= GLOBAL_VIEWS:
            return super().features(images, place)
        draw_paths_at(self.backbone, place)
        return self._split(masked_tokens(self.backbone, images, self.draw_mask(images, place), self.token))

    @torch.no_grad()
    def target_features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """Return the same of the teacher, which sees the whole crop, and what the student does not see of it."""
        if place.view >= GLOBAL_VIEWS:
            return {}
        whole = cast(VisionTransformer, self.teacher_backbone).forward_features(images)
        return {**self._split(whole), "mask": self.draw_mask(images, place)}

    def _split(self, tokens: Tensor) -> dict[str, Tensor]:
        prefix = cast(VisionTransformer, self.backbone).num_prefix_tokens
        return {"backbone": tokens[:, 0], "patches": tokens[:, prefix:]}

    def loss_from_features(
        self, online: Features, target: Features, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        of_class_tokens = self.class_token_loss(online, target)
        of_patches = self.patch_loss(online, target)
        logs = {
            "distillation_loss": of_class_tokens.detach(),
            "patch_loss": of_patches.detach(),
            "feature_std": feature_std(target[0]["backbone"]),
        }
        return of_class_tokens + self.config.patch_weight * of_patches, logs

    def patch_loss(self, online: Features, target: Features) -> Tensor:
        """Return the cross-entropy of hidden patches, averaged within each crop and then over all; move the centre."""
        mask = torch.cat([view["mask"] for view in target[:GLOBAL_VIEWS]])
        hidden = torch.cat([view["patches"] for view in online[:GLOBAL_VIEWS]])[mask]
        students = F.log_softmax(self.head(hidden) / self.config.student_temperature, dim=1)
        with torch.no_grad():
            seen = self.teacher_head.bottleneck(torch.cat([view["patches"] for view in target[:GLOBAL_VIEWS]]))
            teachers = self.patch_centre.probabilities(
                full_precision(self.teacher_head.last(seen[mask])), self.temperature
            )
        crops = mask.nonzero()[:, 0]
        losses = -(teachers.to(students.dtype) * students).sum(dim=1)
        sums = torch.zeros(len(mask), dtype=losses.dtype, device=losses.device).index_add(0, crops, losses)
        # The last layer is linear, so the mean of all patches' logits is the logits of their mean.
        self.patch_centre.move(full_precision(self.teacher_head.last(seen.mean(dim=1))))
        return (sums / mask.sum(dim=1).clamp(min=1)).mean()

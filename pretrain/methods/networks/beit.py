"""BEiT's mask token, classifier and loss; its options, ``config``, are ``pretrain.methods.beit.Config``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.backbones.families.beit import truncated_normal
from pretrain.backbones.families.drop_path import draw_paths_at, set_drop_path
from pretrain.backbones.families.vit import masked_tokens, patch_size
from pretrain.batch import Place
from pretrain.config import Normalisation
from pretrain.method import FeatureMethod
from pretrain.methods.parts.block_masks import Mask, block_mask, masks_at
from pretrain.methods.parts.collapse import feature_std
from pretrain.methods.parts.gather import mean_of_rows
from pretrain.methods.parts.requirements import IMAGE, TOKENS
from pretrain.methods.parts.tokenizer import Tokenizer
from pretrain.objectives import full_precision

Features = Sequence[Mapping[str, Tensor]]


class BEiT(FeatureMethod):
    """A linear layer classifies the tokens of hidden patches; the tokenizer is no part of the method's state."""

    def __init__(
        self, config: Any, backbone: nn.Module, width: int, tokenizer: Tokenizer, normalisation: Normalisation
    ) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.normalisation = normalisation
        self.patch_size = patch_size(backbone)
        set_drop_path(backbone, config.drop_path_rate)
        # Three dimensions, because vectors are exempt from weight decay and the official code decays this token.
        self.token = nn.Parameter(torch.empty(1, 1, width))
        self.classifier = nn.Linear(width, tokenizer.vocabulary)
        truncated_normal(self.token)
        truncated_normal(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        # In a tuple, torch does not see a module: its weights are neither saved nor sent to other processes.
        self._tokenizer = (tokenizer,)

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """Return, for the backbone's view, the class token (B, width) and the patches' tokens (B, patches, width)."""
        if place.view != IMAGE:
            return {}
        draw_paths_at(self.backbone, place)
        mask = self.draw_mask(images, place)
        tokens = masked_tokens(self.backbone, images, mask, self.token)
        return {"backbone": tokens[:, 0], "patches": tokens[:, tokens.shape[1] - mask.shape[1] :]}

    @torch.no_grad()
    def target_features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """Return the hidden patches for the backbone's view, and each patch's class for the tokenizer's."""
        if place.view == IMAGE:
            return {"mask": self.draw_mask(images, place)}
        (tokenizer,) = self._tokenizer
        shape = (1, 3, 1, 1)
        mean, std = (
            torch.tensor(values, device=images.device).view(shape)
            for values in (self.normalisation.mean, self.normalisation.std)
        )
        return {"classes": tokenizer.to(images.device)((images * std + mean).clamp(0, 1))}

    def draw_mask(self, images: Tensor, place: Place) -> Tensor:
        """Return which patches of the images are hidden, (B, patches)."""
        rows, columns = images.shape[2] // self.patch_size, images.shape[3] // self.patch_size

        def draw(generator: np.random.Generator) -> Mask:
            return block_mask(rows, columns, self.config.masked_patches, self.config.smallest_block, generator)

        return masks_at(place, len(images), draw).to(images.device, non_blocking=True)

    def loss_from_features(
        self, online: Features, target: Features, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        mask = target[IMAGE]["mask"]
        classes = target[TOKENS]["classes"][mask]
        logits = full_precision(self.classifier(online[IMAGE]["patches"][mask]))
        # Images hide different numbers of patches, and the mean is over the patches of all processes.
        patches = len(mask) * mean_of_rows(mask.sum(dim=1).to(logits.dtype)).clamp(min=1)
        loss = F.cross_entropy(logits, classes, reduction="sum") / patches
        hits = (logits.detach().argmax(dim=1) == classes).sum() / patches
        logs = {
            "masked_loss": loss.detach(),
            "token_top1": 100 * hits,
            "feature_std": feature_std(online[IMAGE]["backbone"]),
        }
        return loss, logs

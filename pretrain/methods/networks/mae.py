"""MAE's decoder and loss; its options, ``config``, are ``pretrain.methods.mae.Config``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from pretrain.backbones.families.vit import patch_size, sincos_position_embedding, visible_tokens
from pretrain.batch import Place
from pretrain.method import FeatureMethod, ParameterGroup
from pretrain.methods.parts.collapse import feature_std
from pretrain.methods.parts.distillation import tokens_that_decay
from pretrain.methods.parts.requirements import visible_patches
from pretrain.objectives import full_precision
from pretrain.randomness import uniform_rows

Features = Sequence[Mapping[str, Tensor]]


class MAE(FeatureMethod):
    """The backbone encodes visible patches alone; a small transformer predicts the pixels of the others."""

    def __init__(self, config: Any, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.patch_size = patch_size(backbone)
        vit = cast(VisionTransformer, backbone)
        rows, columns = vit.patch_embed.grid_size
        self.decoder_embedding = nn.Linear(width, config.decoder_width)
        self.token = nn.Parameter(torch.empty(1, 1, config.decoder_width))
        positions = sincos_position_embedding(rows, columns, config.decoder_width)
        self.decoder_positions = nn.Parameter(positions, requires_grad=False)
        norm: Any = partial(nn.LayerNorm, eps=1e-6)
        self.decoder = nn.Sequential(
            *[
                Block(config.decoder_width, config.decoder_heads, qkv_bias=True, norm_layer=norm)
                for _ in range(config.decoder_depth)
            ],
            norm(config.decoder_width),
            nn.Linear(config.decoder_width, 3 * self.patch_size**2),
        )
        self._initialise(vit)

    def _initialise(self, vit: VisionTransformer) -> None:
        """Draw weights as the official code does: query, key and value as one matrix, unlike MoCo-v3's ViT."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(vit.patch_embed.proj.weight.view(vit.embed_dim, -1))
        assert vit.cls_token is not None
        for token in (vit.cls_token, self.token):
            nn.init.normal_(token, std=0.02)

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(tokens_that_decay(self.backbone), always_decays=True)]

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """Return each image's error, (B,), and its class token, (B, width)."""
        order = self.draw_order(images, place)
        visible = visible_patches(order.shape[1], self.config.mask_ratio)
        tokens = visible_tokens(self.backbone, images, order[:, :visible])
        errors = self.errors(self.decode(tokens, order), images, order[:, visible:])
        return {"error": errors, "backbone": tokens[:, 0]}

    def draw_order(self, images: Tensor, place: Place) -> Tensor:
        """Return each image's patches in random order, (B, patches), the visible ones first."""
        patches = (images.shape[2] // self.patch_size) * (images.shape[3] // self.patch_size)
        rows = range(place.first_row, place.first_row + len(images))
        drawn = torch.from_numpy(uniform_rows(rows, patches, (place.draw_seed, place.view)))
        return drawn.argsort(dim=1).to(images.device, non_blocking=True)

    def decode(self, tokens: Tensor, order: Tensor) -> Tensor:
        """Return predicted pixels of all patches, (B, patches, 3·p²), from the class token and the visible ones."""
        embedded = self.decoder_embedding(tokens)
        hidden = order.shape[1] + 1 - embedded.shape[1]
        shuffled = torch.cat([embedded[:, 1:], self.token.to(embedded.dtype).expand(len(order), hidden, -1)], dim=1)
        back = order.argsort(dim=1).unsqueeze(-1).expand_as(shuffled)
        sequence = torch.cat([embedded[:, :1], shuffled.gather(1, back)], dim=1) + self.decoder_positions
        predicted: Tensor = self.decoder(sequence)
        return predicted[:, 1:]

    def errors(self, predicted: Tensor, images: Tensor, hidden: Tensor) -> Tensor:
        """Return each image's mean squared error over the pixels of its ``hidden`` patches, (B,)."""
        chosen = hidden.unsqueeze(-1).expand(-1, -1, predicted.shape[2])
        truth = normalised_patches(images, self.patch_size).gather(1, chosen)
        return (full_precision(predicted).gather(1, chosen) - truth).square().mean(dim=(1, 2))

    def loss_from_features(
        self, online: Features, target: Features, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        loss = torch.stack([view["error"].mean() for view in online]).mean()
        return loss, {"masked_loss": loss.detach(), "feature_std": feature_std(online[0]["backbone"])}


def normalised_patches(images: Tensor, side: int) -> Tensor:
    """Return the pixels of each patch, (B, patches, 3·side²), with mean 0 and deviation 1 within the patch.

    Pixels are in reading order, each with its three channels.
    """
    batch, channels, height, width = images.shape
    patches = images.reshape(batch, channels, height // side, side, width // side, side)
    pixels = patches.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, side * side * channels)
    return (pixels - pixels.mean(dim=2, keepdim=True)) / (pixels.var(dim=2, keepdim=True) + 1e-6).sqrt()

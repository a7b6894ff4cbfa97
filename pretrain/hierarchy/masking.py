"""Hides patches of images, as in SimMIM (Xie et al., arXiv 2111.09886, section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pretrain.backbones.families.vit import masked_patch_tokens, patch_size
from pretrain.batch import Place
from pretrain.hierarchy.spaces import Masking
from pretrain.randomness import uniform_rows

TOKEN_STD = 0.02


class MaskedPatches(nn.Module):
    """Computes a ViT's patch tokens of partly hidden images; owns the learned token that replaces hidden patches."""

    def __init__(self, width: int, masking: Masking) -> None:
        super().__init__()
        self.masking = masking
        self.token = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=TOKEN_STD))

    def draw(self, backbone: nn.Module, images: Tensor, place: Place) -> Tensor:
        """Draw which patches of images (B, 3, H, W) to hide: boolean, (B, patches), on the images' device."""
        masks = draw_masks(
            self.masking,
            image_size=images.shape[-1],
            patch_size=patch_size(backbone),
            rows=range(place.first_row, place.first_row + len(images)),
            seed=(place.draw_seed, place.view),
        )
        return masks.to(images.device, non_blocking=True)

    def forward(self, backbone: nn.Module, images: Tensor, mask: Tensor) -> Tensor:
        """Return tokens (B, patches, width) of images (B, 3, H, W) with the patches in ``mask`` (B, patches) hidden."""
        return masked_patch_tokens(backbone, images, mask, self.token)


def draw_masks(masking: Masking, *, image_size: int, patch_size: int, rows: range, seed: tuple[int, ...]) -> Tensor:
    """Return which patches are hidden in rows of a global batch: boolean, (len(rows), patches), patches row by row.

    Every image hides the same number of squares, chosen uniformly. A row's mask does not depend on the other rows.
    """
    side = image_size // masking.square
    hidden = math.ceil(masking.ratio * side**2)
    order = uniform_rows(rows, side**2, seed).argsort(axis=1).argsort(axis=1)
    squares = torch.from_numpy(order < hidden).view(-1, side, side)
    patches_a_side = masking.square // patch_size
    patches = squares.repeat_interleave(patches_a_side, dim=1).repeat_interleave(patches_a_side, dim=2)
    return patches.flatten(1)

"""Refuses runs whose backbone or views don't fit a method, and numbers the views that methods treat in special ways.

Imports no torch: plans call it.
"""

from __future__ import annotations

from pretrain.backbones.lookup import find_backbone
from pretrain.config import PretrainConfig
from pretrain.errors import InputError

GLOBAL_VIEWS = 2
"""DINO's and iBOT's global crops are the views before this number."""
ANCHOR, TARGET = 0, 1
"""MSN's random anchor and its target."""
IMAGE, TOKENS = 0, 1
"""BEiT's image for the backbone, and the one for the tokenizer."""


def require_two_views(config: PretrainConfig) -> None:
    """Refuse any number of views but two.

    Raises
    ------
    InputError
        The message gives the number of views.
    """
    if (count := len(config.each_view)) != 2:
        raise InputError(f"views: {config.method} needs 2 views, not {count}", key=("views",))


def require_patches(config: PretrainConfig) -> int:
    """Return the side of the backbone's patches in pixels.

    Raises
    ------
    InputError
        The backbone has no patches.
    """
    patch = find_backbone(config.backbone).INFO.patch_size
    if patch is None:
        raise InputError(
            f"backbone: {config.method} hides patches of a ViT, and {config.backbone} has none", key=("backbone",)
        )
    return patch


def require_position_embedding(config: PretrainConfig) -> None:
    """Refuse a backbone that can't run on some of its patches alone.

    Raises
    ------
    InputError
        The backbone has no patches, or a bias for each pair of them in place of position embeddings.
    """
    require_patches(config)
    if find_backbone(config.backbone).INFO.position_embedding == "relative":
        raise InputError(
            f"backbone: {config.method} runs a ViT on some of its patches, and the position bias of {config.backbone} "
            "takes all; name a ViT with position embeddings, such as vit_base, deit_base or tiny_vit",
            key=("backbone",),
        )


def require_views_of_image_size(config: PretrainConfig) -> None:
    """Refuse views of another size than the run's images.

    Raises
    ------
    InputError
        Names the first such view.
    """
    for number, view in enumerate(config.each_view):
        if view.size != config.image_size:
            raise InputError(
                f"views: {config.method} takes views of image_size {config.image_size}, and view {number} has "
                f"{view.size} pixels",
                key=("views",),
            )


def visible_patches(patches: int, mask_ratio: float) -> int:
    """Return how many of an image's patches an encoder sees that computes no others."""
    return int(patches * (1 - mask_ratio))

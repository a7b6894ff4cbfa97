"""Fits a recipe to the number of training images, for own images, which may be fewer than a batch or than k."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_REPEATED_SAMPLER_BLOCK = 256
"""timm's sampler of repeated augmentations rounds an epoch down to a multiple of this many images."""


def fit_to_images(settings: Mapping[str, Any], training_images: int) -> dict[str, Any]:
    """Return the settings to change so that an epoch has a batch and each image has enough neighbours.

    The batch becomes the largest power of two that the images fill, and k of k-NN at most their number. Images are not
    repeated if timm's sampler of repeated augmentations would give an empty epoch.
    """
    changed: dict[str, Any] = {}
    if settings.get("global_batch_size", 0) > training_images:
        changed["global_batch_size"] = 1 << (training_images.bit_length() - 1)
    if settings.get("repeated_augmentations", 1) > 1 and training_images < _REPEATED_SAMPLER_BLOCK:
        changed["repeated_augmentations"] = 1
    if settings.get("neighbours", 0) > training_images:
        changed["neighbours"] = training_images
    return changed

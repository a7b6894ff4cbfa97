"""Crops an image at random and resizes it to a uint8 tensor: a view's first stage, in the loader's workers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from pretrain.config import AugmentationConfig, Interpolation, Range

_ATTEMPTS = 10
_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Box(NamedTuple):
    """A rectangle of an image, in whole pixels from its upper left corner."""

    top: int
    left: int
    height: int
    width: int


def sample_rng(seed: int, *key: int) -> np.random.Generator:
    """Return a generator that depends only on the arguments, not on earlier draws or on the process.

    Parameters
    ----------
    key
        Non-negative integers that identify the use, e.g. epoch, index and view.
    """
    # A spawn key distinguishes (1,) from (1, 0); entropy would be padded with zeros.
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def random_resized_crop_box(height: int, width: int, scale: Range, ratio: Range, rng: np.random.Generator) -> Box:
    """Return a box of random area, aspect and position: Inception's crop (Szegedy et al. 2015).

    Distributed as in torchvision's ``RandomResizedCrop.get_params``: the area is uniform in ``scale`` (a share of the
    image's area), the logarithm of width over height is uniform between those of ``ratio``. If ten boxes don't fit, the
    largest centred box with an aspect in ``ratio`` is returned.
    """
    log_ratio = (math.log(ratio[0]), math.log(ratio[1]))
    for _ in range(_ATTEMPTS):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(*log_ratio))
        box_width = round(math.sqrt(area * aspect))
        box_height = round(math.sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int(rng.integers(height - box_height + 1))
            left = int(rng.integers(width - box_width + 1))
            return Box(top, left, box_height, box_width)
    return _central_box(height, width, ratio)


def crop_and_resize(
    image: Image.Image,
    box: Box,
    size: int,
    interpolation: Interpolation = "bilinear",
    change: Callable[[Image.Image], Image.Image] | None = None,
) -> torch.Tensor:
    """Crop ``box`` from an RGB image and resize it, antialiased, to a (3, size, size) uint8 tensor.

    As in torchvision's ``resized_crop``, cropping comes first, so that no pixel outside the box contributes. If given,
    ``change`` is applied to the resized image.
    """
    cropped = image.crop((box.left, box.top, box.left + box.width, box.top + box.height))
    resized = cropped.resize((size, size), _RESAMPLING[interpolation])
    if change:
        resized = change(resized)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


def random_crop(
    image: Image.Image,
    config: AugmentationConfig,
    size: int,
    rng: np.random.Generator,
    change: Callable[[Image.Image], Image.Image] | None = None,
) -> torch.Tensor:
    """A random crop of an RGB image, resized to (3, size, size) uint8; ``change`` as in ``crop_and_resize``."""
    box = random_resized_crop_box(image.height, image.width, config.crop_scale, config.crop_ratio, rng)
    return crop_and_resize(image, box, size, config.interpolation, change)


def _central_box(height: int, width: int, ratio: Range) -> Box:
    box_height, box_width = height, width
    if width / height < ratio[0]:
        box_height = round(width / ratio[0])
    elif width / height > ratio[1]:
        box_width = round(height * ratio[1])
    return Box((height - box_height) // 2, (width - box_width) // 2, box_height, box_width)

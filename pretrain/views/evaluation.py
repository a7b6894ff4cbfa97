"""Prepares images for evaluation: resize, centre crop, normalise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import Dataset

from pretrain.config import Interpolation, Normalisation
from pretrain.datasets import LabelledImages
from pretrain.views.color import standardise

if TYPE_CHECKING:
    from PIL.Image import Image

_RESIZE_OVER_CROP = 256 / 224


def centre_crop_transform(image_size: int, interpolation: Interpolation = "bilinear") -> Callable[[Image], Tensor]:
    """Return a transform that resizes the shorter side to 256/224 of ``image_size`` and crops the centre.

    It maps an RGB image to a (3, image_size, image_size) uint8 tensor, and can be pickled. At 224 pixels it is
    ImageNet's usual Resize(256), CenterCrop(224).
    """
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize

    transform: Callable[[Image], Tensor] = Compose(
        [
            Resize(round(image_size * _RESIZE_OVER_CROP), interpolation=InterpolationMode(interpolation)),
            CenterCrop(image_size),
            PILToTensor(),
        ]
    )
    return transform


def normalise(images: Tensor, normalisation: Normalisation) -> Tensor:
    """Return uint8 images (B, 3, H, W) as float32, ``(image / 255 − mean) / std`` per channel, on their device."""
    return standardise(images.to(torch.float32).div_(255), normalisation)


class CentreCrops(Dataset[tuple[Tensor, int]]):
    """Maps an index to the image's centre crop, (3, size, size) uint8, and its label."""

    def __init__(self, images: LabelledImages, image_size: int, interpolation: Interpolation) -> None:
        self.images = images
        self.transform = centre_crop_transform(image_size, interpolation)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images.image(index)), self.images.label(index)

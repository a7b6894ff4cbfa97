"""Augments a batch on the device, a view's second stage: colour, blur, solarize, flip, normalisation, random erasing.

Parameters are drawn on the CPU for the whole global batch from one generator, and a process uses those of its rows. So
they depend neither on the device nor on the number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from pretrain.config import Normalisation, ViewConfig
from pretrain.views import color
from pretrain.views.crop import random_resized_crop_box, sample_rng

_RADIUS_IN_SIGMAS = 3
# Defaults of timm and DeiT: erased share of the image's area, and aspect of the erased box.
_ERASED_AREA = (0.02, 1 / 3)
_ERASED_RATIO = (0.3, 1 / 0.3)


@dataclass(frozen=True)
class AugmentParameters:
    """Parameters of each of B samples. Masks are bool, factors float32, all of shape (B,).

    Keep them on the CPU: ``augment`` selects rows by the masks, which on a GPU would wait for it.

    Parameters
    ----------
    jitter_order
        (B, 4) int64, see ``color.color_jitter``.
    brightness
        Factors, or summands where the view adds brightness.
    blur_sigma
        Pixels.
    erase_seed
        (B,) int64, seed of the erased box and of its noise.
    """

    jitter: Tensor
    jitter_order: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grayscale: Tensor
    blur: Tensor
    blur_sigma: Tensor
    solarize: Tensor
    flip: Tensor
    erase: Tensor
    erase_seed: Tensor

    def rows(self, start: int, stop: int) -> Self:
        """Return the parameters of samples ``start`` to ``stop`` (exclusive)."""
        return type(self)(**{field.name: getattr(self, field.name)[start:stop] for field in fields(self)})

    def to(self, device: torch.device | str) -> Self:
        return type(self)(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def draw_parameters(view: ViewConfig, batch_size: int, generator: torch.Generator) -> AugmentParameters:
    """Draw the parameters of ``batch_size`` samples, distributed as in torchvision's transforms.

    All are always drawn, so that turning one operation off changes no other.

    Parameters
    ----------
    generator
        On the CPU.
    """

    def mask(probability: float) -> Tensor:
        return torch.rand(batch_size, generator=generator) < probability

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(batch_size).uniform_(low, high, generator=generator)

    strengths = view.color_jitter or (0.0, 0.0, 0.0, 0.0)
    around_one = [(max(0.0, 1 - strength), 1 + strength) for strength in strengths[:3]]
    brightness = (-strengths[0], strengths[0]) if view.adds_brightness else around_one[0]
    return AugmentParameters(
        jitter=mask(view.color_jitter_probability if any(strengths) else 0.0),
        jitter_order=torch.rand(batch_size, 4, generator=generator).argsort(dim=1),
        brightness=uniform(*brightness),
        contrast=uniform(*around_one[1]),
        saturation=uniform(*around_one[2]),
        hue=uniform(-strengths[3], strengths[3]),
        grayscale=mask(view.grayscale_probability),
        blur=mask(view.blur_probability),
        blur_sigma=uniform(*view.blur_sigma),
        solarize=mask(view.solarize_probability),
        flip=mask(view.flip_probability),
        erase=mask(view.random_erasing_probability),
        erase_seed=torch.randint(2**62, (batch_size,), generator=generator),
    )


def augment(images: Tensor, parameters: AugmentParameters, view: ViewConfig, normalisation: Normalisation) -> Tensor:
    """Return augmented, normalised images, (B, 3, H, W) float32.

    The order is that of MoCo-v3's main_moco.py and of DeiT: colour jitter, grayscale, blur, solarize, flip, normalise,
    erase. With ``view.grayscale_first``, grayscale comes before the jitter, as in MoCo-v1.

    Parameters
    ----------
    images
        (B, 3, H, W) uint8, on any device and in any memory format; left unchanged.
    parameters
        Those of the same B samples.
    view
        The view of the parameters; its largest ``blur_sigma`` gives the blur's radius.

    Returns
    -------
    (B, 3, H, W) float32, normalised.
    """
    radius = math.ceil(_RADIUS_IN_SIGMAS * view.blur_sigma[1])
    floats = images.to(torch.float32).div_(255)
    if view.grayscale_first:
        _apply_to_rows(floats, parameters.grayscale, lambda chosen, _: color.grayscale(chosen))
    _apply_to_rows(
        floats,
        parameters.jitter,
        lambda chosen, rows: color.color_jitter(
            chosen,
            parameters.jitter_order[rows],
            brightness=parameters.brightness[rows],
            contrast=parameters.contrast[rows],
            saturation=parameters.saturation[rows],
            hue=parameters.hue[rows],
            adds_brightness=view.adds_brightness,
        ),
    )
    if not view.grayscale_first:
        _apply_to_rows(floats, parameters.grayscale, lambda chosen, _: color.grayscale(chosen))
    _apply_to_rows(
        floats,
        parameters.blur,
        lambda chosen, rows: color.gaussian_blur(chosen, parameters.blur_sigma[rows], radius),
    )
    _apply_to_rows(floats, parameters.solarize, lambda chosen, _: color.solarize(chosen))
    _apply_to_rows(floats, parameters.flip, lambda chosen, _: chosen.flip(-1))
    color.standardise(floats, normalisation)
    _erase(floats, parameters)
    return floats


def _erase(images: Tensor, parameters: AugmentParameters) -> None:
    """Replace a box of each normalised sample in ``erase`` by N(0, 1) noise per pixel, in place."""
    height, width = images.shape[2:]
    for row in parameters.erase.nonzero().squeeze(1).tolist():
        rng = sample_rng(int(parameters.erase_seed[row]))
        box = random_resized_crop_box(height, width, _ERASED_AREA, _ERASED_RATIO, rng)
        noise = torch.from_numpy(rng.standard_normal((3, box.height, box.width), dtype="float32"))
        images[row, :, box.top : box.top + box.height, box.left : box.left + box.width] = noise.to(images.device)


def _apply_to_rows(images: Tensor, mask: Tensor, operation: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Replace the samples in ``mask`` by ``operation(samples, row numbers)``, in place."""
    rows = mask.nonzero().squeeze(1)
    if len(rows) > 0:
        chosen = rows.to(images.device)
        images[chosen] = operation(images[chosen], rows)

"""Changes colour and sharpness of a batch, with parameters per sample: pure functions on floats in [0, 1].

Images are (N, 3, H, W), parameters (N,). The arithmetic is that of torchvision's tensor operations on single images.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pretrain.config import Normalisation

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""Positions in a jitter order, numbered as torchvision's ColorJitter numbers them."""

# uint8 values from 128 up are inverted. The threshold is halfway between 127 and 128, so that rounding decides nothing.
SOLARIZE_THRESHOLD = 127.5 / 255


def color_jitter(
    images: Tensor,
    order: Tensor,
    *,
    brightness: Tensor,
    contrast: Tensor,
    saturation: Tensor,
    hue: Tensor,
    adds_brightness: bool = False,
) -> Tensor:
    """Apply the four operations to each sample in the sample's order, and clip after each.

    Parameters
    ----------
    order
        (N, 4) int64, each row a permutation of 0…3. Keep it on the CPU: selecting rows by it would wait for a GPU.
    brightness, contrast, saturation
        (N,) factors, at least 0; 1 changes nothing.
    hue
        (N,) shifts in turns, in [-0.5, 0.5].
    adds_brightness
        ``brightness`` is added to the pixels instead, as TensorFlow's ``adjust_brightness`` does; 0 changes nothing.
    """
    images = images.clone()
    ones = torch.ones_like(hue)
    factors = torch.stack([ones if adds_brightness else brightness, contrast, saturation, ones], dim=1).to(order.device)
    for position in range(order.shape[1]):
        operation = order[:, position]
        _blend_in_place(images, factors.gather(1, operation[:, None]).squeeze(1), operation)
        if adds_brightness:
            summand = brightness.to(order.device) * (operation == BRIGHTNESS)
            images.add_(_broadcast(summand, images)).clamp_(0, 1)
        rows = (operation == HUE).nonzero().squeeze(1)
        if len(rows) > 0:
            chosen = rows.to(images.device)
            images[chosen] = shift_hue(images[chosen], hue.to(rows.device)[rows])
    return images


def _blend_in_place(images: Tensor, factor: Tensor, operation: Tensor) -> None:
    """Replace images by ``factor × image + (1 − factor) × target``, clipped; the operation determines the target.

    Brightness blends with black, contrast with the mean of the luma, saturation with the luma. For hue, the factor is 1
    and changes nothing.
    """
    gray = luma(images)
    mean = gray.mean(dim=(2, 3), keepdim=True)
    toward_gray = _broadcast((1 - factor) * (operation == SATURATION), images)
    toward_mean = _broadcast((1 - factor) * (operation == CONTRAST), images)
    images.mul_(_broadcast(factor, images)).addcmul_(gray, toward_gray).addcmul_(mean, toward_mean).clamp_(0, 1)


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Return images with their hue (of HSV) shifted by ``turns`` (N,); saturation and value stay.

    A channel is ``V − C·max(0, min(k, 4 − k, 1))`` with ``k = (n + 6H) mod 6``, n = 5, 3, 1 for R, G, B.
    """
    red, green, blue = images.unbind(dim=1)
    value = images.amax(dim=1)
    chroma = value - images.amin(dim=1)
    divisor = torch.where(chroma == 0, 1, chroma)
    sextant = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    channel = torch.tensor([5.0, 3.0, 1.0], device=images.device)[:, None, None]
    k = torch.remainder(sextant[:, None] + channel + 6 * _broadcast(turns, images), 6)
    weight: Tensor = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[:, None] - chroma[:, None] * weight


def luma(images: Tensor) -> Tensor:
    """Return the luma, (N, 1, H, W), with ITU-R BT.601's weights rounded as in torchvision."""
    red, green, blue = images.split(1, dim=1)
    gray: Tensor = red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)
    return gray


def grayscale(images: Tensor) -> Tensor:
    return luma(images).expand_as(images)


def gaussian_blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Blur with a separable Gaussian of ``sigma`` (N,) pixels, cut off at ``radius`` pixels, with reflected borders.

    The radius is at most the image's side minus 1, because a reflection reaches no farther.
    """
    return _blur_axis(_blur_axis(images, sigma, radius, axis=3), sigma, radius, axis=2)


def _blur_axis(images: Tensor, sigma: Tensor, radius: int, axis: int) -> Tensor:
    # A sum of shifted images is as fast as a grouped convolution, and no backend chooses its precision or algorithm.
    length = images.shape[axis]
    radius = min(radius, length - 1)
    distances = torch.arange(radius + 1, device=sigma.device)
    weights = torch.exp(-0.5 * (distances / sigma[:, None]) ** 2)
    weights = weights / (2 * weights.sum(dim=1, keepdim=True) - 1)
    taps = _broadcast(weights.T, images)
    padded = F.pad(images, (radius, radius, 0, 0) if axis == 3 else (0, 0, radius, radius), mode="reflect")
    blurred = images * taps[0]
    for distance in range(1, radius + 1):
        before = padded.narrow(axis, radius - distance, length)
        after = padded.narrow(axis, radius + distance, length)
        blurred.addcmul_(before + after, taps[distance])
    return blurred


def solarize(images: Tensor) -> Tensor:
    """Invert values of 128 or more on uint8's scale."""
    return torch.where(images >= SOLARIZE_THRESHOLD, 1 - images, images)


def standardise(images: Tensor, normalisation: Normalisation) -> Tensor:
    """Compute ``(image − mean) / std`` per channel, in place, and return the images."""
    mean = torch.tensor(normalisation.mean, device=images.device)[:, None, None]
    std = torch.tensor(normalisation.std, device=images.device)[:, None, None]
    return images.sub_(mean).div_(std)


def _broadcast(values: Tensor, images: Tensor) -> Tensor:
    """Return values (…, N) in a shape that broadcasts with images (N, 3, H, W), on their device."""
    return values.to(images.device)[..., None, None, None]

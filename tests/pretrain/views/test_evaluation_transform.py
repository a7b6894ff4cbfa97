"""The evaluation transform against a resize and crop written out by hand."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from pretrain.config import Normalisation
from pretrain.views.evaluation import centre_crop_transform, normalise
from pretrain.views.finetuning import Interpolation


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("width", "height", "size", "resized"),
    [
        (500, 375, 224, (341, 256)),  # landscape
        (300, 600, 224, (256, 512)),  # portrait
        (28, 28, 32, (37, 37)),  # enlarged
        (8, 8, 16, (18, 18)),
    ],
)
def test_resize_shorter_side_then_centre(
    width: int, height: int, size: int, resized: tuple[int, int], interpolation: Interpolation
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    by_hand = np.array(image.resize(resized, Image.Resampling[interpolation.upper()]))
    left, top = (round((side - size) / 2) for side in resized)
    expected = by_hand[top : top + size, left : left + size].transpose(2, 0, 1)
    found = centre_crop_transform(size, interpolation)(image)
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found.numpy(), expected)


def test_the_transform_reaches_spawned_workers() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    transform = centre_crop_transform(32)
    assert torch.equal(pickle.loads(pickle.dumps(transform))(image), transform(image))


def test_normalise_is_the_formula() -> None:
    batch = torch.randint(0, 256, (4, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    normalisation = Normalisation(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
    before = batch.clone()
    found = normalise(batch, normalisation)
    for channel in range(3):
        expected = (batch[:, channel].double() / 255 - normalisation.mean[channel]) / normalisation.std[channel]
        torch.testing.assert_close(found[:, channel].double(), expected, atol=1e-6, rtol=0)
    assert found.dtype == torch.float32
    assert torch.equal(batch, before)

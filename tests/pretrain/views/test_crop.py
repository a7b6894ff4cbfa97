"""Crops against torchvision: the same boxes in distribution, the same pixels exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as tv

from pretrain.views.crop import Box, crop_and_resize, random_resized_crop_box, sample_rng
from pretrain.views.finetuning import Interpolation

RATIO = (3 / 4, 4 / 3)
DRAWS = 3000


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("height", "width", "scale", "ratio"),
    [
        (375, 500, (0.08, 1.0), RATIO),
        (28, 28, (0.2, 1.0), RATIO),
        (60, 400, (0.08, 1.0), RATIO),  # a wide strip: many draws don't fit, some fall back
        (400, 30, (0.2, 1.0), RATIO),
        (100, 100, (0.5, 0.5), (0.25, 4.0)),
    ],
)
def test_boxes_are_distributed_as_torchvisions(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    rng = np.random.default_rng(1)
    ours = np.array([random_resized_crop_box(height, width, scale, ratio, rng) for _ in range(DRAWS)])
    torch.manual_seed(1)
    image = torch.empty(3, height, width)
    theirs = np.array([RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(DRAWS)])
    for axis, name in enumerate(Box._fields):
        assert ks_2samp(ours[:, axis], theirs[:, axis]).pvalue > 0.01, name
    assert ks_2samp(ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3]).pvalue > 0.01, "area"
    assert ks_2samp(ours[:, 3] / ours[:, 2], theirs[:, 3] / theirs[:, 2]).pvalue > 0.01, "aspect"


@pytest.mark.parametrize(("height", "width"), [(10, 1000), (1000, 10), (7, 301), (301, 7), (3, 3)])
def test_fallback_is_torchvisions(height: int, width: int) -> None:
    # Nothing of twice the image's area fits, so every draw falls back.
    ours = random_resized_crop_box(height, width, (2.0, 2.0), RATIO, np.random.default_rng(0))
    assert tuple(ours) == RandomResizedCrop.get_params(torch.empty(3, height, width), [2.0, 2.0], list(RATIO))


@given(
    height=st.integers(1, 600),
    width=st.integers(1, 600),
    seed=st.integers(0, 2**63),
    low=st.floats(0.01, 1.0),
)
def test_box_lies_within_the_image(height: int, width: int, seed: int, low: float) -> None:
    box = random_resized_crop_box(height, width, (low, 1.0), RATIO, sample_rng(seed, 0))
    assert box.height > 0
    assert box.width > 0
    assert 0 <= box.top <= height - box.height
    assert 0 <= box.left <= width - box.width


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("box", [Box(5, 9, 40, 31), Box(0, 0, 60, 90), Box(20, 30, 3, 2), Box(59, 89, 1, 1)])
def test_pixels_equal_torchvisions(box: Box, interpolation: Interpolation) -> None:
    image = noise(60, 90)
    expected = tv.resized_crop(image, *box, size=[32, 32], interpolation=InterpolationMode(interpolation))
    found = crop_and_resize(image, box, 32, interpolation)
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    assert torch.equal(found, tv.pil_to_tensor(expected))


def test_a_sample_draws_the_same_crop_whatever_came_before() -> None:
    where = [(epoch, index, view) for epoch in range(3) for index in range(40) for view in range(2)]

    def boxes(order: list[tuple[int, int, int]]) -> dict[tuple[int, int, int], Box]:
        return {w: random_resized_crop_box(375, 500, (0.08, 1), RATIO, sample_rng(7, *w)) for w in order}

    forward, backward = boxes(where), boxes(where[::-1])
    assert forward == backward
    assert len(set(forward.values())) == len(where)
    assert boxes(where[:1]) != {where[0]: random_resized_crop_box(375, 500, (0.08, 1), RATIO, sample_rng(8, 0, 0, 0))}


def test_generators_of_different_places_differ() -> None:
    places = [(), (0,), (0, 0), (0, 0, 0), (1,), (0, 1), (1, 0), (0, 0, 1)]
    assert len({sample_rng(0, *place).random() for place in places}) == len(places)

"""mmcv's operators from torchvision against sums written out, values and gradients, on random boxes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.evaluators.dense.stack import needs

pytestmark = needs("mmseg")


def random_boxes(generator: torch.Generator, count: int, side: float) -> Tensor:
    corners = torch.rand(count, 2, 2, generator=generator) * side
    low, high = corners.min(dim=1).values, corners.max(dim=1).values
    return torch.cat([low, high + 0.5], dim=1)


def nms_written_out(boxes: Tensor, scores: Tensor, threshold: float, offset: int) -> list[int]:
    """Greedily: the best box stays, and every later one that overlaps a staying one too much goes."""
    kept: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        if all(overlap(boxes[index], boxes[other], offset) <= threshold for other in kept):
            kept.append(index)
    return kept


def overlap(one: Tensor, other: Tensor, offset: int) -> float:
    def area(box: list[float]) -> float:
        return max(box[2] - box[0] + offset, 0) * max(box[3] - box[1] + offset, 0)

    a, b = one.tolist(), other.tolist()
    both = area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])
    return both / (area(a) + area(b) - both)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 30), offset=st.sampled_from([0, 1]))
def test_nms(seed: int, count: int, offset: int) -> None:
    from evaluators.dense.operators import nms

    generator = torch.Generator().manual_seed(seed)
    boxes = random_boxes(generator, count, 40)
    scores = torch.rand(count, generator=generator)
    assert nms(boxes, scores, 0.4, offset).tolist() == nms_written_out(boxes, scores, 0.4, offset)


def roi_align_written_out(image: Tensor, roi: Tensor, size: int, scale: float, samples: int, aligned: bool) -> Tensor:
    """The mean of bilinear samples in every bin: image (C, H, W), roi (4,) → (C, size, size)."""
    left, top, right, bottom = (float(value) * scale - (0.5 if aligned else 0.0) for value in roi)
    width, height = right - left, bottom - top
    if not aligned:
        width, height = max(width, 1.0), max(height, 1.0)
    across = samples or math.ceil(width / size)
    down = samples or math.ceil(height / size)
    rows = []
    for row in range(size):
        bins = []
        for column in range(size):
            points = [
                bilinear(
                    image,
                    top + (row + (i + 0.5) / down) * height / size,
                    left + (column + (j + 0.5) / across) * width / size,
                )
                for i in range(down)
                for j in range(across)
            ]
            bins.append(torch.stack(points).mean(dim=0))
        rows.append(torch.stack(bins, dim=-1))
    return torch.stack(rows, dim=-2)


def bilinear(image: Tensor, y: float, x: float) -> Tensor:
    """(C,): 0 more than a pixel outside, the border's value less than that."""
    _, height, width = image.shape
    if y < -1 or y > height or x < -1 or x > width:
        return image[:, 0, 0] * 0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = image[:, top, left] * (1 - across) + image[:, top, right] * across
    lower = image[:, bottom, left] * (1 - across) + image[:, bottom, right] * across
    return upper * (1 - down) + lower * down


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    samples=st.sampled_from([0, 2]),
    aligned=st.booleans(),
    scale=st.sampled_from([1.0, 0.5]),
)
def test_roi_align_and_its_gradient(seed: int, samples: int, aligned: bool, scale: float) -> None:
    """Through mmcv's own layer, so that arguments arrive in the order mmcv gives them."""
    from evaluators.dense.operators import ensure_operators

    if ensure_operators() == "compiled":
        pytest.skip("this mmcv has compiled operators")
    from mmcv.ops import RoIAlign

    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 3, 10, 12, generator=generator, requires_grad=True)
    boxes = random_boxes(generator, 3, 12 / scale)
    rois = torch.cat([torch.tensor([[0.0], [1.0], [1.0]]), boxes], dim=1)
    layer = RoIAlign(2, spatial_scale=scale, sampling_ratio=samples, aligned=aligned)
    pooled = layer(images, rois)
    expected = torch.stack(
        [roi_align_written_out(images[int(roi[0])], roi[1:], 2, scale, samples, aligned) for roi in rois]
    )
    torch.testing.assert_close(pooled, expected, atol=1e-4, rtol=1e-4)
    weights = torch.randn(pooled.shape, generator=generator)
    (found,) = torch.autograd.grad((pooled * weights).sum(), images)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), images)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_other_operators_say_what_they_need() -> None:
    from evaluators.dense.operators import ensure_operators

    if ensure_operators() == "compiled":
        pytest.skip("this mmcv has compiled operators")
    from mmcv.ops.nms import ext_module

    with pytest.raises(NotImplementedError, match="softnms needs mmcv with compiled operators"):
        ext_module.softnms()

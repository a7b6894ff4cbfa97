"""Mixing and random erasing against timm's own, and their invariance to how a batch is shared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from timm.data.mixup import Mixup
from timm.data.random_erasing import RandomErasing

from pretrain.config import MixingConfig, Normalisation, ViewConfig
from pretrain.views.augment import augment, draw_parameters
from pretrain.views.crop import Box
from pretrain.views.mixing import Mixing, Swap, draw_mixing, mix_images, mix_labels, swap_halves, swap_neighbours

IDENTITY = Normalisation(mean=(0, 0, 0), std=(1, 1, 1))
DEIT = MixingConfig(mixup_alpha=0.8, cutmix_alpha=1.0)
ERASING = ViewConfig(crop_scale=(0.2, 1), flip_probability=0, random_erasing_probability=0.5)


def batch(count: int, size: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_a_pair_mixes_as_timm_mixes_it() -> None:
    """timm pairs a batch with its reverse, which for two samples is the neighbour."""
    theirs = Mixup(mixup_alpha=0.8, cutmix_alpha=0, label_smoothing=0, num_classes=5)
    np.random.seed(3)
    images, labels = theirs(batch(2), torch.tensor([1, 4]))
    kept = float(labels[0, 1])
    torch.testing.assert_close(mix_images(batch(2), Mixing(kept)), images)
    torch.testing.assert_close(mix_labels(torch.tensor([1, 4]), 5, Mixing(kept)), labels)


def test_a_box_comes_from_the_neighbour() -> None:
    images = batch(4)
    mixed = mix_images(images, Mixing(0.75, Box(2, 4, 8, 8)))
    expected = images.clone()
    for row, neighbour in ((0, 1), (1, 0), (2, 3), (3, 2)):
        expected[row, :, 2:10, 4:12] = images[neighbour, :, 2:10, 4:12]
    assert torch.equal(mixed, expected)
    assert mix_labels(torch.tensor([0, 1, 1, 2]), 3, Mixing(0.75)).tolist() == [
        [0.75, 0.25, 0],
        [0.25, 0.75, 0],
        [0, 0.75, 0.25],
        [0, 0.25, 0.75],
    ]


@pytest.mark.parametrize("mixing", [Mixing(0.3), Mixing(0.75, Box(0, 3, 8, 8))])
@pytest.mark.parametrize(
    ("swap", "shares"),
    [
        (swap_neighbours, [range(8), range(8, 12)]),
        (swap_halves, [range(0, 12, 2), range(1, 12, 2)]),
        (swap_halves, [range(rank, 12, 3) for rank in range(3)]),
    ],
)
def test_a_process_mixes_its_rows_as_the_whole_batch_is_mixed(mixing: Mixing, swap: Swap, shares: list[range]) -> None:
    whole = mix_images(batch(12), mixing, swap)
    labels = torch.arange(12) % 5
    targets = mix_labels(labels, 5, mixing, swap)
    for share in shares:
        rows = list(share)
        assert torch.equal(mix_images(batch(12)[rows], mixing, swap), whole[rows])
        assert torch.equal(mix_labels(labels[rows], 5, mixing, swap), targets[rows])


def test_copies_of_an_image_never_mix_with_each_other() -> None:
    copies = torch.arange(6).repeat_interleave(3)[:16]
    assert not (swap_halves(copies) == copies).any()


def test_shares_are_distributed_as_timms() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_mixing(DEIT, 224, rng) for _ in range(4000)]
    blends = [mixing.kept for mixing in drawn if mixing.box is None]
    cuts = [mixing.kept for mixing in drawn if mixing.box]
    assert abs(len(cuts) / len(drawn) - 0.5) < 0.04
    assert kstest(blends, "beta", args=(0.8, 0.8)).pvalue > 1e-3
    theirs = [deits_box(224, lam, rng)[1] for lam in rng.beta(1, 1, 4000)]
    assert kstest(cuts, theirs).pvalue > 1e-3
    assert draw_mixing(MixingConfig(mixup_alpha=0, cutmix_alpha=0), 224, rng) == Mixing(1.0)


def deits_box(size: int, lam: float, rng: np.random.Generator) -> tuple[tuple[int, int, int, int], float]:
    """``rand_bbox`` of timm 0.3.2, which DeiT used, and the share of the image that it leaves."""
    cut = int(size * np.sqrt(1 - lam))
    centre_y, centre_x = rng.integers(0, size), rng.integers(0, size)
    top, bottom = (int(np.clip(centre_y + sign * (cut // 2), 0, size)) for sign in (-1, 1))
    left, right = (int(np.clip(centre_x + sign * (cut // 2), 0, size)) for sign in (-1, 1))
    return (top, bottom, left, right), 1 - (bottom - top) * (right - left) / size**2


def test_cutmix_cuts_the_box_that_deit_cut() -> None:
    """timm 1.0.31 cuts one pixel more where the side is odd; every draw here equals the old form's."""
    alone = MixingConfig(mixup_alpha=0, cutmix_alpha=1.0)
    for seed in range(300):
        mixing = draw_mixing(alone, 33, np.random.default_rng(seed))
        same = np.random.default_rng(seed)
        (top, bottom, left, right), kept = deits_box(33, float(same.beta(1.0, 1.0)), same)
        assert mixing == Mixing(pytest.approx(kept), Box(top, left, bottom - top, right - left))


def test_erased_boxes_are_distributed_as_timms() -> None:
    images = torch.zeros(1500, 3, 32, 32, dtype=torch.uint8)
    parameters = draw_parameters(ERASING, 1500, torch.Generator().manual_seed(0))
    found = augment(images, parameters, ERASING, IDENTITY)
    erased = (found != 0).any(dim=1).flatten(1).sum(dim=1)
    assert torch.equal(erased > 0, parameters.erase)
    assert abs(float(parameters.erase.float().mean()) - 0.5) < 0.05
    theirs = RandomErasing(probability=1, mode="pixel", device="cpu")(torch.zeros(1500, 3, 32, 32))
    expected = (theirs != 0).any(dim=1).flatten(1).sum(dim=1)
    assert kstest(erased[erased > 0].numpy(), expected.numpy()).pvalue > 1e-3
    noise = found[found != 0]
    assert kstest(noise[:20000].numpy(), "norm").pvalue > 1e-3


def test_erasing_depends_on_the_sample_alone() -> None:
    images = torch.full((10, 3, 16, 16), 7, dtype=torch.uint8)
    parameters = draw_parameters(ERASING, 10, torch.Generator().manual_seed(1))
    whole = augment(images, parameters, ERASING, IDENTITY)
    assert torch.equal(augment(images[4:9], parameters.rows(4, 9), ERASING, IDENTITY), whole[4:9])

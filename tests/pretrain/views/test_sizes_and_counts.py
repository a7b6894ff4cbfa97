"""Views of their own size and number, and views that show one crop twice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from pretrain.backbones.lookup import find_backbone
from pretrain.config import PretrainConfig
from pretrain.datasets import open_split
from pretrain.engine.augmented import AugmentedBatch
from pretrain.engine.loader import RawBatch, batches
from pretrain.errors import InputError
from pretrain.resolve import resolve_pretraining
from tests.pretrain.steps import CPU
from tests.pretrain.test_engine import tiny_config

LARGE = {"crop_scale": (0.4, 1.0), "color_jitter": (0.4, 0.4, 0.0, 0.0), "flip_probability": 0.5}
SMALL = {**LARGE, "crop_scale": (0.05, 0.4), "size": 4, "count": 3}


def first_batch(config: PretrainConfig) -> RawBatch:
    images = open_split("digits", None, "train")
    options: dict[str, Any] = {"rank": 0, "world_size": 1, "num_workers": 0, "pin_memory": False}
    return next(iter(batches(images, config, first_step=0, **options)))


def test_each_view_has_its_size_and_is_drawn_anew() -> None:
    config = tiny_config(views=[{**LARGE, "count": 2}, SMALL])
    raw = first_batch(config)
    assert [tuple(view.shape[1:]) for view in raw.views] == [(3, 8, 8)] * 2 + [(3, 4, 4)] * 3
    assert not torch.equal(raw.views[0], raw.views[1])
    assert not torch.equal(raw.views[2], raw.views[3])
    batch = AugmentedBatch(raw, config, 10, 0, CPU).full_batch()
    assert [view.shape[-1] for view in batch.views] == [8, 8, 4, 4, 4]


def test_a_count_is_the_same_as_writing_the_view_so_often() -> None:
    counted, written = tiny_config(views=[{**LARGE, "count": 2}]), tiny_config(views=[LARGE, LARGE])
    for one, other in zip(first_batch(counted).views, first_batch(written).views, strict=True):
        assert torch.equal(one, other)


def test_a_view_that_repeats_another_shows_the_same_crop_at_its_own_size() -> None:
    again = {**LARGE, "repeats": 0}
    config = tiny_config(views=[LARGE, again, {**again, "size": 4, "interpolation": "lanczos"}, LARGE])
    raw = first_batch(config)
    batch = AugmentedBatch(raw, config, 10, 0, CPU).full_batch()
    first, same, small, other = (view.double() for view in batch.views)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    # Halved by averaging, the first view is the small one but for the resampling filter.
    halved = F.avg_pool2d(first, 2)
    assert (halved - small).square().mean() < 0.1 * (F.avg_pool2d(other, 2) - small).square().mean()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"views": [{**LARGE, "repeats": 0}]}, "view 0 repeats view 0, which is not an earlier one"),
        ({"views": [LARGE, {**LARGE, "repeats": 2}]}, "view 1 repeats view 2"),
        ({"views": [LARGE, SMALL], "mixing": {"mixup_alpha": 0.2, "cutmix_alpha": 0}}, "view 1 has 4 pixels"),
        ({"views": [{**LARGE, "count": 60}, {**LARGE, "count": 60}]}, "at most 100 with their counts, not 120"),
    ],
)
def test_views_that_do_not_fit_together_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        tiny_config(**settings)


def test_a_view_that_is_no_multiple_of_the_patches_is_refused() -> None:
    options = {"views": [LARGE, {**LARGE, "size": 6}], "epochs": 1}
    with pytest.raises(InputError, match="views: 6 must be a multiple of tiny_vit's 4-pixel patches"):
        resolve_pretraining(method="opera", backbone="tiny_vit", dataset="digits", seed=0, options=options)


def test_a_vit_takes_small_images_with_an_interpolated_position_embedding() -> None:
    torch.manual_seed(0)
    model, small = find_backbone("tiny_vit").build(16).eval(), find_backbone("tiny_vit").build(8).eval()
    state = model.state_dict()
    token, grid = state["pos_embed"][:, :1], state["pos_embed"][:, 1:].transpose(1, 2).reshape(1, -1, 4, 4)
    resized = F.interpolate(grid, size=(2, 2), mode="bicubic", antialias=True)
    small.load_state_dict({**state, "pos_embed": torch.cat([token, resized.flatten(2).transpose(1, 2)], dim=1)})
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(model(images), small(images))

"""The supervised training transform: timm's parts in DeiT's order, and draws that depend only on their place."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from pretrain.config import Normalisation
from pretrain.errors import InputError
from pretrain.views.finetuning import TrainAugmentationConfig
from pretrain.views.timm_train import (
    auto_augment,
    build_train_transform,
    seed_everything_for_sample,
    seed_everything_for_step,
)

IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
DEIT = TrainAugmentationConfig(auto_augment="rand-m9-mstd0.5-inc1", color_jitter=0.4, random_erasing_probability=0.25)
PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def steps(config: TrainAugmentationConfig, image_size: int = 224) -> dict[str, Any]:
    transform: Any = build_train_transform(config, image_size, IMAGENET)
    return {type(step).__name__: step for step in transform.transforms}


def test_deit_has_randaugment_and_no_colour_jitter() -> None:
    found = steps(DEIT)
    assert list(found) == [
        "RandomResizedCropAndInterpolation",
        "RandomHorizontalFlip",
        "RandAugment",
        "MaybeToTensor",
        "Normalize",
        "RandomErasing",
    ]
    assert found["RandAugment"].num_layers == 2
    assert all(op.magnitude == 9 and op.magnitude_std == 0.5 for op in found["RandAugment"].ops)
    assert found["RandomErasing"].probability == 0.25
    assert found["RandomErasing"].per_pixel
    assert found["RandomResizedCropAndInterpolation"].scale == (0.08, 1.0)
    assert "bicubic" in str(found["RandomResizedCropAndInterpolation"].interpolation).lower()
    torch.testing.assert_close(torch.as_tensor(found["Normalize"].mean), torch.tensor(IMAGENET.mean))


def test_colour_jitter_acts_without_a_policy() -> None:
    jitter = steps(TrainAugmentationConfig(color_jitter=0.4))["ColorJitter"]
    assert tuple(jitter.brightness) == tuple(jitter.contrast) == tuple(jitter.saturation) == (0.6, 1.4)
    assert jitter.hue is None


def test_linear_probe_has_crop_and_flip_alone_even_at_32_pixels() -> None:
    config = TrainAugmentationConfig(interpolation="bilinear", crop_scale=(0.05, 1))
    found = steps(config, image_size=32)
    assert list(found) == ["RandomResizedCropAndInterpolation", "RandomHorizontalFlip", "MaybeToTensor", "Normalize"]
    assert found["RandomResizedCropAndInterpolation"].scale == (0.05, 1)


@pytest.mark.parametrize("policy", ["rnad-m9", "rand-q9", "rand-m9-mstd0.5-zzz1"])
def test_an_unknown_policy_is_refused(policy: str) -> None:
    with pytest.raises(InputError, match=f"auto_augment: '{policy}'"):
        build_train_transform(TrainAugmentationConfig(auto_augment=policy), 224, IMAGENET)


class Samples(Dataset[torch.Tensor]):
    """Thirty views of one image, each seeded by its place."""

    def __init__(self) -> None:
        self.transform = build_train_transform(DEIT, 32, IMAGENET)

    def __len__(self) -> int:
        return 30

    def __getitem__(self, index: int) -> torch.Tensor:
        seed_everything_for_sample(5, 1, index)
        return self.transform(Image.fromarray(PIXELS))


def test_a_sample_depends_on_its_place_alone() -> None:
    samples = Samples()
    forward = [samples[index] for index in range(30)]
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    backward = [samples[index] for index in reversed(range(30))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert len({view.numpy().tobytes() for view in forward}) == 30
    assert forward[0].shape == (3, 32, 32)
    assert forward[0].dtype == torch.float32


@pytest.mark.parametrize("workers", [0, 2])
def test_the_number_of_workers_changes_nothing(workers: int) -> None:
    """Neither the images nor what a training step draws after them."""
    drawn = []
    for step, batch in enumerate(DataLoader(Samples(), batch_size=10, num_workers=workers)):
        seed_everything_for_step(5, step)
        drawn.append((batch, torch.rand(3), np.random.rand(3), random.random()))
    samples = Samples()
    for step, (batch, from_torch, from_numpy, from_python) in enumerate(drawn):
        assert torch.equal(batch, torch.stack([samples[10 * step + row] for row in range(10)]))
        seed_everything_for_step(5, step)
        assert torch.equal(from_torch, torch.rand(3))
        np.testing.assert_array_equal(from_numpy, np.random.rand(3))
        assert from_python == random.random()


def test_seeds_of_different_places_differ_in_every_generator() -> None:
    drawn = []
    for seed, epoch, index in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]:
        seed_everything_for_sample(seed, epoch, index)
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
    for seed, step in [(0, 0), (0, 1), (1, 0)]:
        seed_everything_for_step(seed, step)
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
    for column in zip(*drawn, strict=True):
        assert len(set(column)) == len(drawn)


def test_strong_magnitudes_posterize_to_black_and_never_fail() -> None:
    """At magnitude 10 timm keeps 0 bits, which Pillow 13 refuses."""
    transform = build_train_transform(DEIT.model_copy(update={"auto_augment": "rand-m10-inc1"}), 8, IMAGENET)
    (randaugment,) = (stage for stage in transform.transforms if hasattr(stage, "ops"))
    posterize = [operation for operation in randaugment.ops if operation.name.startswith("Posterize")]
    image = Image.effect_noise((8, 8), 50).convert("RGB")
    for operation in posterize:
        operation.prob = 1.0
        assert max(high for _, high in operation(image).getextrema()) == 0
    assert posterize


def test_autoaugment_is_a_policy_too() -> None:
    image = Image.effect_noise((16, 16), 50).convert("RGB")
    policy = auto_augment("original", 16, IMAGENET, "bicubic")
    changed = [policy(image) for _ in range(20)]
    assert {other.size for other in changed} == {(16, 16)}
    assert any(other.tobytes() != image.tobytes() for other in changed)

"""Training batches: which images, in which order, cropped, flipped, repeated and shared out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluators.parts import data
from evaluators.parts.data import AugmentedImages, CentreCropBatches, TrainingBatches
from pretrain.datasets import open_split
from pretrain.errors import InputError
from pretrain.views.evaluation import normalise
from pretrain.views.finetuning import TrainAugmentationConfig
from tests.evaluators.conftest import DIGITS, IMAGE_SIZE, Few

CROPS = TrainAugmentationConfig(crop_scale=(0.5, 1.0), flip_probability=0.5, interpolation="bilinear")
RANDAUGMENT = TrainAugmentationConfig(auto_augment="rand-m9-mstd0.5-inc1", random_erasing_probability=0.25)


def batches(count: int = 50, size: int = 16, augmentation: TrainAugmentationConfig = CROPS, **more: Any) -> Any:
    options = {"seed": 0, "num_workers": 0, **more}
    images = Few(open_split("digits", None, "train"), count)
    return TrainingBatches(images, augmentation, DIGITS, IMAGE_SIZE, size, device=torch.device("cpu"), **options)


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [16, 16, 16, 2]), (True, [16, 16, 16])])
def test_an_epoch_shows_every_image_once(drop_last: bool, sizes: list[int]) -> None:
    found = list(batches(drop_last=drop_last).epoch(1))
    assert [len(batch.labels) for batch in found] == sizes
    assert [batch.global_size for batch in found] == sizes
    assert [batch.step for batch in found] == list(range(len(sizes), 2 * len(sizes)))
    seen = torch.cat([batch.indices for batch in found]).tolist()
    assert len(set(seen)) == len(seen) == sum(sizes)
    images = batches().images
    assert torch.cat([batch.labels for batch in found]).tolist() == [images.label(index) for index in seen]


def test_more_in_a_batch_than_in_the_data_is_refused() -> None:
    with pytest.raises(InputError, match="global_batch_size: 64 is more than the 50 training images"):
        batches(size=64)


def test_repeated_augmentation_shows_three_copies_side_by_side() -> None:
    """DeiT's sampler: as many images as the split has, rounded down to 256, so a third of them different."""
    repeated = batches(600, repeats=3)
    order = repeated.order(0)
    assert len(order) == 512 == repeated.images_per_epoch
    assert all(len(set(order[at : at + 3])) == 1 for at in range(0, 510, 3))
    assert set(Counter(order[:510]).values()) == {3}
    assert order != repeated.order(1)
    assert order != batches(600, repeats=3, seed=1).order(0)
    first = next(repeated.epoch(0))
    assert first.indices[0] == first.indices[1]
    assert not torch.equal(first.images[0], first.images[1])


@pytest.mark.parametrize("augmentation", [CROPS, RANDAUGMENT])
def test_batches_depend_on_their_place_alone(augmentation: TrainAugmentationConfig) -> None:
    """Neither on what came before nor on the number of workers."""
    whole = list(batches(augmentation=augmentation).epoch(2))
    torch.manual_seed(1)
    again = list(batches(augmentation=augmentation, num_workers=1).epoch(2))
    for one, other in zip(whole, again, strict=True):
        assert torch.equal(one.images, other.images)
    other_epoch = next(batches(augmentation=augmentation).epoch(3))
    assert not torch.equal(other_epoch.images, whole[0].images)


@pytest.mark.parametrize("augmentation", [CROPS, RANDAUGMENT])
def test_processes_share_out_the_same_global_batch(
    augmentation: TrainAugmentationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = list(batches(augmentation=augmentation).epoch(0))
    shares = []
    monkeypatch.setattr(data, "get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(data, "get_rank", lambda rank=rank: rank)
        shares.append(list(batches(augmentation=augmentation).epoch(0)))
    for whole, *parts in zip(alone, *shares, strict=True):
        joined = torch.empty_like(whole.images)
        joined[0::2], joined[1::2] = parts[0].images, parts[1].images
        assert torch.equal(joined, whole.images)


def test_half_the_crops_are_flipped() -> None:
    """A crop flipped on the device equals the loader's crop mirrored; about half are, others at each step."""
    made = batches(200, 200)
    crops = AugmentedImages(made)
    assert crops[0, 0, 0][0].dtype == torch.uint8
    flipped = []
    for epoch in range(2):
        batch = next(made.epoch(epoch))
        plain = torch.stack([crops[epoch, at, int(index)][0] for at, index in enumerate(batch.indices)])
        assert plain.dtype == torch.uint8
        kept = (batch.images == normalise(plain, DIGITS)).flatten(1).all(1)
        mirrored = (batch.images == normalise(plain.flip(-1), DIGITS)).flatten(1).all(1)
        assert bool((kept ^ mirrored).all())
        assert 70 < int(mirrored.sum()) < 130
        flipped.append(mirrored)
    assert not torch.equal(*flipped)


@pytest.mark.parametrize(
    "changed", [{"auto_augment": "rand-m9"}, {"color_jitter": 0.4}, {"random_erasing_probability": 0.1}]
)
def test_anything_but_crops_goes_through_timm(changed: dict[str, Any]) -> None:
    augmentation = CROPS.model_copy(update=changed)
    assert AugmentedImages(batches(augmentation=augmentation))[0, 0, 0][0].dtype == torch.float32


def test_small_validation_sets_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = open_split("digits", None, "val")
    decoded: list[int] = []

    class Counted(Few):
        def image(self, index: int) -> Any:
            decoded.append(index)
            return images.image(index)

    def crops() -> CentreCropBatches:
        return CentreCropBatches(Counted(images, 300), image_size=16, interpolation="bicubic", num_workers=0)

    kept = crops()
    first, second = (torch.cat([batch for batch, _ in kept]) for _ in range(2))
    assert torch.equal(first, second)
    assert decoded == list(range(300))
    monkeypatch.setattr(data, "KEPT_IN_MEMORY_BYTES", 0)
    streamed = crops()
    assert torch.equal(torch.cat([batch for batch, _ in streamed]), first)
    list(streamed)
    assert len(decoded) == 900


def test_a_worker_names_the_broken_image(tmp_path: Path) -> None:
    class Broken(Few):
        def image(self, index: int) -> Any:
            raise InputError(f"{tmp_path}/x.png: can't be decoded as an image")

    broken = Broken(open_split("digits", None, "val"), 4)
    for workers in (0, 1):
        crops = CentreCropBatches(broken, image_size=16, interpolation="bicubic", num_workers=workers)
        with pytest.raises(InputError, match=r"^\S+x\.png: can't be decoded as an image$"):
            list(crops)

"""Images for evaluation: augmented batches for training, centre crops for validation.

Every batch is a function of (seed, epoch, batch), so a resumed evaluation repeats the numbers. With n processes,
each takes every n-th row of the global batch, as DeiT's samplers do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evaluators.interface import Context, EvaluatorConfig
from pretrain.config import Interpolation, Normalisation
from pretrain.datasets import LabelledImages, open_split
from pretrain.distributed import get_rank, get_world_size
from pretrain.errors import InputError, without_worker_traceback
from pretrain.randomness import derive_seed, epoch_order
from pretrain.views.crop import random_crop, sample_rng
from pretrain.views.evaluation import CentreCrops, normalise
from pretrain.views.finetuning import TrainAugmentationConfig
from pretrain.views.timm_train import build_train_transform, seed_everything_for_sample

T = TypeVar("T")

# Purpose numbers of random draws; pretraining's are below 10, the head's is 13.
CROP, FLIP, REPEAT, MIX = 10, 11, 12, 14
EVALUATION_BATCH_SIZE = 256
KEPT_IN_MEMORY_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Splits:
    """Training and validation split of one dataset; both use the training split's classes."""

    train: LabelledImages
    val: LabelledImages
    num_classes: int


def open_splits(config: EvaluatorConfig, context: Context) -> Splits:
    """Open both splits of ``config.dataset``.

    Raises
    ------
    InputError
        Data are missing or damaged, or ``val`` has more classes than ``train``.
    """
    train, val = (open_split(config.dataset, context.data_root, split) for split in ("train", "val"))
    if val.num_classes > train.num_classes:
        raise InputError(f"dataset {config.dataset}: val has {val.num_classes} classes, train only {train.num_classes}")
    return Splits(train, val, train.num_classes)


@dataclass(frozen=True)
class TrainingBatch:
    """This process's rows of one global batch.

    Parameters
    ----------
    step
        Number of the batch, counted from the start of the first epoch.
    images
        (B, 3, H, W) float32, augmented and normalised, on the device; ``labels`` are (B,) on the device.
    indices
        Positions of the rows in the training split, (B,).
    global_size
        Number of rows over all processes.
    """

    step: int
    images: Tensor
    labels: Tensor
    indices: Tensor
    global_size: int


@dataclass(frozen=True)
class TrainingBatches:
    """Batches of training data, one epoch at a time.

    Parameters
    ----------
    repeats
        Copies of each image (repeated augmentation, Hoffer et al. 2020, sampled as in DeiT). An epoch has about as
        many rows as the split has images, so more copies mean fewer different images.
    drop_last
        Whether to drop the images left over after the last full batch.

    Raises
    ------
    InputError
        An epoch has fewer images than one batch.
    """

    images: LabelledImages
    augmentation: TrainAugmentationConfig
    normalisation: Normalisation
    image_size: int
    global_batch_size: int
    seed: int
    device: torch.device
    num_workers: int
    repeats: int = 1
    drop_last: bool = False

    def __post_init__(self) -> None:
        if self.images_per_epoch < self.global_batch_size:
            raise InputError(
                f"global_batch_size: {self.global_batch_size} is more than the {self.images_per_epoch} training images"
            )

    @cached_property
    def images_per_epoch(self) -> int:
        """Samples per epoch before drop_last. With repeated augmentation, timm rounds down to a multiple of 256."""
        return len(self.order(0))

    @property
    def steps_per_epoch(self) -> int:
        full, left_over = divmod(self.images_per_epoch, self.global_batch_size)
        return full if self.drop_last or not left_over else full + 1

    def order(self, epoch: int) -> list[int]:
        """Return the positions in the split that an epoch visits, over all processes."""
        if self.repeats == 1:
            order: list[int] = epoch_order(len(self.images), self.seed, epoch).tolist()
            return order
        from timm.data.distributed_sampler import RepeatAugSampler

        sampler = RepeatAugSampler(self.images, num_replicas=1, rank=0, num_repeats=self.repeats)
        sampler.set_epoch(derive_seed(self.seed, REPEAT, epoch))  # timm seeds the permutation only with the epoch
        return list(sampler)

    def epoch(self, epoch: int) -> Iterator[TrainingBatch]:
        """Yield the epoch's batches in order."""
        order, size, steps = self.order(epoch), self.global_batch_size, self.steps_per_epoch
        positions = [range(start, min(start + size, len(order))) for start in range(0, steps * size, size)]
        rank, world_size = get_rank(), get_world_size()
        rows = ([(epoch, at, order[at]) for at in batch[rank::world_size]] for batch in positions)
        loader = DataLoader(
            AugmentedImages(self),
            batch_sampler=rows,
            num_workers=self.num_workers,
            pin_memory=self.device.type == "cuda",
        )
        for number, (images, labels, indices) in enumerate(_user_errors(loader)):
            step = epoch * steps + number
            ready = self._on_device(images, step)
            yield TrainingBatch(step, ready, labels.to(self.device), indices, len(positions[number]))

    def _on_device(self, images: Tensor, step: int) -> Tensor:
        images = images.to(self.device, non_blocking=True)
        if images.dtype != torch.uint8:
            return images
        generator = torch.Generator().manual_seed(derive_seed(self.seed, FLIP, step))
        flips = torch.rand(self.global_batch_size, generator=generator) < self.augmentation.flip_probability
        mine = flips[get_rank() :: get_world_size()][: len(images)].to(self.device)
        return normalise(torch.where(mine[:, None, None, None], images.flip(-1), images), self.normalisation)


class AugmentedImages(Dataset[tuple[Tensor, int, int]]):
    """A data set that maps a key (epoch, position in the epoch, index) to image, label and index.

    If the augmentation is only crop and flip, the image is a uint8 crop, to be flipped and normalised on the device.
    Otherwise timm's transform returns it normalised.
    """

    def __init__(self, batches: TrainingBatches) -> None:
        self.batches = batches
        wanted = batches.augmentation
        if not wanted.only_crops:
            self.transform = build_train_transform(wanted, batches.image_size, batches.normalisation)

    def __len__(self) -> int:
        return len(self.batches.images)

    def __getitem__(self, key: tuple[int, int, int]) -> tuple[Tensor, int, int]:
        epoch, position, index = key
        image = self.batches.images.image(index)
        label = self.batches.images.label(index)
        seed, wanted = self.batches.seed, self.batches.augmentation
        if wanted.only_crops:
            rng = sample_rng(seed, CROP, epoch, position)
            return random_crop(image, wanted, self.batches.image_size, rng), label, index
        seed_everything_for_sample(seed, epoch, position)
        return self.transform(image), label, index


class CentreCropBatches:
    """Centre crops of a split in order. Can be iterated many times; a small split is decoded only once.

    Batches are (B, 3, H, W) uint8 and labels (B,), on the CPU. With n processes, each iterates over every n-th image.
    """

    def __init__(
        self,
        images: LabelledImages,
        *,
        image_size: int,
        interpolation: Interpolation,
        num_workers: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        crops = CentreCrops(images, image_size, interpolation)
        mine = range(rank, len(crops), world_size)
        starts = range(0, len(mine), EVALUATION_BATCH_SIZE)
        rows = [list(mine[start : start + EVALUATION_BATCH_SIZE]) for start in starts]
        self._loader = DataLoader(crops, batch_sampler=rows, num_workers=num_workers)
        self._is_small = 3 * image_size**2 * len(mine) <= KEPT_IN_MEMORY_BYTES
        self._kept: list[tuple[Tensor, Tensor]] | None = None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self._is_small:
            return _user_errors(self._loader)
        if self._kept is None:
            self._kept = list(_user_errors(self._loader))
        return iter(self._kept)


def _user_errors(loader: Iterable[T]) -> Iterator[T]:
    """Yield the loader's batches; raise a worker's InputError with only its one-sentence message."""
    with without_worker_traceback():
        yield from loader

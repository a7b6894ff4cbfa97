"""Loads batches of cropped uint8 views: the per-image stage, in the loader's workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pretrain.config import PretrainConfig
from pretrain.datasets import LabelledImages
from pretrain.errors import InputError, without_worker_traceback
from pretrain.randomness import CROP, REPEAT, epoch_order
from pretrain.views.crop import random_crop, sample_rng
from pretrain.views.timm_train import auto_augment, seed_everything_for_sample


@dataclass(frozen=True)
class RawBatch:
    """This process's rows of one global batch.

    Parameters
    ----------
    step
        Steps before this one.
    views
        uint8, each (B, 3, H, W).
    labels
        Class indices, (B,).
    indices
        Positions in the training split, (B,).
    """

    step: int
    views: tuple[Tensor, ...]
    labels: Tensor
    indices: Tensor


class CroppedViews(Dataset[tuple[tuple[Tensor, ...], int, int]]):
    """Maps (epoch, index, copy) to an image's uint8 crops, one per view, its label and its index.

    ``copy`` numbers the repetitions of an image (repeated augmentation).
    """

    def __init__(self, images: LabelledImages, config: PretrainConfig) -> None:
        self.images = images
        self.config = config
        self.views = config.each_view
        self.policies = [
            auto_augment(view.auto_augment, cast(int, view.size), config.normalisation, view.interpolation)
            if view.auto_augment
            else None
            for view in self.views
        ]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int, int]) -> tuple[tuple[Tensor, ...], int, int]:
        epoch, index, copy = key
        image = self.images.image(index)
        crops = []
        for number, (view, policy) in enumerate(zip(self.views, self.policies, strict=True)):
            draw = copy * len(self.policies) + (number if view.repeats is None else view.repeats)
            rng = sample_rng(self.config.seed, CROP, epoch, index, draw)
            if policy:
                draws = len(self.policies) * self.config.repeated_augmentations
                seed_everything_for_sample(self.config.seed, epoch, index * draws + draw)
            crops.append(random_crop(image, view, cast(int, view.size), rng, policy))
        return tuple(crops), self.images.label(index), index


def epoch_visits(num_images: int, config: PretrainConfig, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order of an epoch: rows (index, copy), (num_images, 2).

    With repeated augmentation, an epoch has the same length and fewer different images (Hoffer et al. 2020, sampled as
    in DeiT). Copies of an image are in one batch or in two consecutive ones, at random positions, so that mixup seldom
    pairs them.
    """
    copies, size = config.repeated_augmentations, config.global_batch_size
    shown = epoch_order(num_images, config.seed, epoch)[: -(-num_images // copies)]
    visits: npt.NDArray[np.int64] = np.stack(
        [np.repeat(shown, copies), np.tile(np.arange(copies), len(shown))], axis=1
    )[:num_images]
    if copies == 1:
        return visits
    rng = np.random.default_rng((config.seed, REPEAT, epoch))
    starts = range(0, num_images, size)
    positions = np.concatenate([start + rng.permutation(min(size, num_images - start)) for start in starts])
    return np.take(visits, positions, axis=0)


def steps_per_epoch(num_images: int, global_batch_size: int) -> int:
    """Return the number of full batches in an epoch. The images left over are dropped, others in each epoch.

    Raises
    ------
    InputError
        The batch is larger than the training split.
    """
    if num_images < global_batch_size:
        raise InputError(f"global_batch_size: {global_batch_size} is more than the {num_images} training images")
    return num_images // global_batch_size


def _rows(
    visits: npt.NDArray[np.int64], epoch: int, starts: Sequence[int], share: int
) -> Iterator[list[tuple[int, int, int]]]:
    for start in starts:
        yield [(epoch, index, copy) for index, copy in visits[start : start + share].tolist()]


def batches(
    images: LabelledImages,
    config: PretrainConfig,
    *,
    first_step: int,
    rank: int,
    world_size: int,
    num_workers: int,
    pin_memory: bool,
) -> Iterator[RawBatch]:
    """Yield this process's share of every global batch from ``first_step`` to the end of training.

    A process takes consecutive rows. The global batch of a step depends neither on ``first_step`` nor on
    ``world_size``.
    """
    per_epoch = steps_per_epoch(len(images), config.global_batch_size)
    share = config.global_batch_size // world_size
    dataset = CroppedViews(images, config)
    for epoch in range(first_step // per_epoch, config.epochs):
        visits = epoch_visits(len(images), config, epoch)
        first = max(first_step - epoch * per_epoch, 0)
        starts = [batch * config.global_batch_size + rank * share for batch in range(first, per_epoch)]
        # A generator: a list of a million tuples would delay the first batch of an epoch by seconds.
        rows = _rows(visits, epoch, starts, share)
        loader = DataLoader(dataset, batch_sampler=rows, num_workers=num_workers, pin_memory=pin_memory)
        with without_worker_traceback():
            for offset, (views, labels, indices) in enumerate(loader):
                yield RawBatch(epoch * per_epoch + first + offset, tuple(views), labels, indices)

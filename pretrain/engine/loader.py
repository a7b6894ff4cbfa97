"""Batches of cropped uint8 views: the per-image stage, in the loader's workers."""

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
    views
        uint8, each of shape (B, 3, H, W).
    """

    step: int
    views: tuple[Tensor, ...]
    labels: Tensor
    indices: Tensor


class CroppedViews(Dataset[tuple[tuple[Tensor, ...], int, int]]):
    """Image ``index`` in epoch ``epoch``, its copy ``copy``, cropped and resized once per view."""

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

    def __getitem__(self, where: tuple[int, int, int]) -> tuple[tuple[Tensor, ...], int, int]:
        epoch, index, copy = where
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
    """Rows (index, copy) in the order of an epoch, as many as there are images.

    Copies of an image lie in one batch or at the border of two, in random places of it, so that they seldom mix with
    each other. With them an epoch shows fewer different images (Hoffer et al. 2020, as DeiT samples it).
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
    places = np.concatenate([start + rng.permutation(min(size, num_images - start)) for start in starts])
    return np.take(visits, places, axis=0)


def steps_per_epoch(num_images: int, global_batch_size: int) -> int:
    """Full batches in an epoch; the images left over are dropped, others each epoch."""
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
    """This process's share of every global batch from ``first_step`` to the end of training.

    The global batch of a step does not depend on ``first_step`` or ``world_size``; a process takes consecutive rows.
    """
    per_epoch = steps_per_epoch(len(images), config.global_batch_size)
    share = config.global_batch_size // world_size
    dataset = CroppedViews(images, config)
    for epoch in range(first_step // per_epoch, config.epochs):
        visits = epoch_visits(len(images), config, epoch)
        first = max(first_step - epoch * per_epoch, 0)
        starts = [batch * config.global_batch_size + rank * share for batch in range(first, per_epoch)]
        # One batch at a time: a million tuples would cost every epoch its first seconds.
        rows = _rows(visits, epoch, starts, share)
        loader = DataLoader(dataset, batch_sampler=rows, num_workers=num_workers, pin_memory=pin_memory)
        with without_worker_traceback():
            for offset, (views, labels, indices) in enumerate(loader):
                yield RawBatch(epoch * per_epoch + first + offset, tuple(views), labels, indices)

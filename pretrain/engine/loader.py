"""Batches of cropped uint8 views: the per-image stage, in the loader's workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pretrain.config import PretrainConfig
from pretrain.datasets import LabelledImages
from pretrain.errors import InputError
from pretrain.randomness import CROP, epoch_order
from pretrain.views.crop import crop_and_resize, random_resized_crop_box, sample_rng


@dataclass(frozen=True)
class RawBatch:
    """This process's rows of one global batch.

    Parameters
    ----------
    views
        uint8, shape (views, B, 3, H, W).
    """

    step: int
    views: Tensor
    labels: Tensor
    indices: Tensor


class CroppedViews(Dataset[tuple[Tensor, int, int]]):
    """Image ``index`` in epoch ``epoch``, cropped and resized once per view."""

    def __init__(self, images: LabelledImages, config: PretrainConfig) -> None:
        self.images = images
        self.config = config

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, where: tuple[int, int]) -> tuple[Tensor, int, int]:
        epoch, index = where
        image = self.images.image(index)
        size = self.config.image_size
        crops = []
        for number, view in enumerate(self.config.views):
            rng = sample_rng(self.config.seed, CROP, epoch, index, number)
            box = random_resized_crop_box(image.height, image.width, view.crop_scale, view.crop_ratio, rng)
            crops.append(crop_and_resize(image, box, size))
        return torch.stack(crops), self.images.label(index), index


def steps_per_epoch(num_images: int, global_batch_size: int) -> int:
    """Full batches in an epoch; the images left over are dropped, others each epoch."""
    if num_images < global_batch_size:
        raise InputError(f"global_batch_size: {global_batch_size} is more than the {num_images} training images")
    return num_images // global_batch_size


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
        order = epoch_order(len(images), config.seed, epoch)
        first = max(first_step - epoch * per_epoch, 0)
        rows = [
            [(epoch, int(index)) for index in order[start : start + share]]
            for start in (batch * config.global_batch_size + rank * share for batch in range(first, per_epoch))
        ]
        loader = DataLoader(dataset, batch_sampler=rows, num_workers=num_workers, pin_memory=pin_memory)
        try:
            for offset, (views, labels, indices) in enumerate(loader):
                yield RawBatch(epoch * per_epoch + first + offset, views.transpose(0, 1), labels, indices)
        except InputError as error:
            # A loader's worker wraps the message in its traceback; the sentence is the last line.
            raise InputError(str(error).strip().splitlines()[-1].rpartition("InputError: ")[2]) from error

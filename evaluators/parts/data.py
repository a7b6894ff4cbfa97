"""Images for evaluation: augmented batches for training, centre crops for judging.

Every batch is a function of (seed, epoch, batch): a resumed evaluation sees the same numbers. With several
processes, each takes every n-th row of the global batch, as DeiT's samplers do.
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
from pretrain.errors import InputError
from pretrain.randomness import derive_seed, epoch_order
from pretrain.views.config import TrainAugmentationConfig
from pretrain.views.crop import crop_and_resize, random_resized_crop_box, sample_rng
from pretrain.views.evaluation import CentreCrops, normalise
from pretrain.views.timm_train import build_train_transform, seed_everything_for_sample

T = TypeVar("T")

# Purposes of random draws; pretraining's are below 10, the head's is 13.
CROP, FLIP, REPEAT, MIX = 10, 11, 12, 14
EVALUATION_BATCH_SIZE = 256
KEPT_IN_MEMORY_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Splits:
    """The two splits of one dataset, with labels from the same classes."""

    train: LabelledImages
    val: LabelledImages
    num_classes: int


def open_splits(config: EvaluatorConfig, context: Context) -> Splits:
    """Open ``config.dataset``.

    Raises
    ------
    InputError
        Missing or damaged data, or splits that disagree about the classes.
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
        Counted from the first epoch.
    images
        (B, 3, H, W) float32, augmented and normalised, on the device; ``labels`` (B,) beside them.
    indices
        Positions in the training split, (B,).
    global_size
        Rows over all processes.
    """

    step: int
    images: Tensor
    labels: Tensor
    indices: Tensor
    global_size: int


@dataclass(frozen=True)
class TrainingBatches:
    """Endless training data, an epoch at a time.

    Parameters
    ----------
    repeats
        Copies of each image; an epoch still shows about as many images as the split has, so each copy more
        means fewer different ones (repeated augmentation, Hoffer et al. 2020, as DeiT samples it).
    drop_last
        Whether the images left over after the last full batch are left out.

    Raises
    ------
    InputError
        Fewer images than one batch.
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
        """Positions in the split that the epoch visits, over all processes."""
        if self.repeats == 1:
            order: list[int] = epoch_order(len(self.images), self.seed, epoch).tolist()
            return order
        from timm.data.distributed_sampler import RepeatAugSampler

        sampler = RepeatAugSampler(self.images, num_replicas=1, rank=0, num_repeats=self.repeats)
        sampler.set_epoch(derive_seed(self.seed, REPEAT, epoch))  # timm seeds the permutation with the epoch alone
        return list(sampler)

    def epoch(self, epoch: int) -> Iterator[TrainingBatch]:
        """The epoch's batches, in order."""
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
    """Image, label and index of (epoch, position in the epoch, index).

    The image is a uint8 crop, flipped and normalised later on the device, wherever crop and flip are all there
    is; otherwise it comes normalised from timm's transform.
    """

    def __init__(self, batches: TrainingBatches) -> None:
        self.batches = batches
        wanted = batches.augmentation
        self.crops_only = (
            wanted.auto_augment is None and not wanted.color_jitter and wanted.random_erasing_probability == 0
        )
        if not self.crops_only:
            self.transform = build_train_transform(wanted, batches.image_size, batches.normalisation)

    def __len__(self) -> int:
        return len(self.batches.images)

    def __getitem__(self, where: tuple[int, int, int]) -> tuple[Tensor, int, int]:
        epoch, position, index = where
        image = self.batches.images.image(index)
        label = self.batches.images.label(index)
        seed, wanted = self.batches.seed, self.batches.augmentation
        if not self.crops_only:
            seed_everything_for_sample(seed, epoch, position)
            return self.transform(image), label, index
        rng = sample_rng(seed, CROP, epoch, position)
        box = random_resized_crop_box(image.height, image.width, wanted.crop_scale, wanted.crop_ratio, rng)
        return crop_and_resize(image, box, self.batches.image_size, wanted.interpolation), label, index


class CentreCropBatches:
    """Centre crops of a split in order, to be walked any number of times; small ones are decoded once.

    Batches are (B, 3, H, W) uint8 and labels (B,), on the CPU. With several processes each walks every n-th image.
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
    """The loader's batches; a worker's InputError is raised with its own one sentence."""
    try:
        yield from loader
    except InputError as error:
        # A worker process wraps the message in its traceback; the sentence is the last line.
        raise InputError(str(error).strip().splitlines()[-1].rpartition("InputError: ")[2]) from error

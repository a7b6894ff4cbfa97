"""The training transform of supervised training and finetuning: DeiT's, from timm's parts.

timm draws from Python's, numpy's and torch's global generators. To make a draw depend only on where it is
used, the loader's workers call ``seed_everything_for_sample`` before each image, and the training loop calls
``seed_everything_for_step`` before each forward pass. The second also undoes what the first leaves behind when
images are loaded in the training process itself: the number of workers changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from pretrain.config import Interpolation, Normalisation
from pretrain.errors import InputError
from pretrain.views.config import TrainAugmentationConfig

if TYPE_CHECKING:
    from PIL.Image import Image

_SAMPLE, _STEP = range(2)


def build_train_transform(
    config: TrainAugmentationConfig, image_size: int, normalisation: Normalisation
) -> Callable[[Image], torch.Tensor]:
    """RGB image → normalised float32 (3, image_size, image_size).

    Random resized crop → flip → RandAugment, or else colour jitter → normalise → random erasing. DeiT's own
    script replaces the crop by a padded one for images of at most 32 pixels; here the crop stays.

    Raises
    ------
    InputError
        ``auto_augment`` is not in timm's notation.
    """
    from timm.data.transforms_factory import create_transform

    try:
        transform: Callable[[Image], torch.Tensor] = create_transform(
            image_size,
            is_training=True,
            scale=config.crop_scale,
            ratio=config.crop_ratio,
            hflip=config.flip_probability,
            color_jitter=cast(float, config.color_jitter),  # None is allowed, timm's annotation forgets it
            auto_augment=config.auto_augment,
            interpolation=config.interpolation,
            mean=normalisation.mean,
            std=normalisation.std,
            re_prob=config.random_erasing_probability,
            re_mode=config.random_erasing_mode,
        )
    except (AssertionError, KeyError, ValueError) as error:
        raise InputError(
            f"auto_augment: {config.auto_augment!r} is not one of timm's policies; try 'rand-m9-mstd0.5-inc1'"
        ) from error
    for stage in cast(Any, transform).transforms:
        for operation in _operations(stage):
            if operation.name.startswith("Posterize"):
                operation.aug_fn = _posterize
    return transform


def auto_augment(
    policy: str, image_size: int, normalisation: Normalisation, interpolation: Interpolation
) -> Callable[[Image], Image]:
    """The RandAugment or AutoAugment stage of ``build_train_transform`` alone: RGB image → RGB image of the same size.

    Raises
    ------
    InputError
        ``policy`` is not in timm's notation.
    """
    config = TrainAugmentationConfig(auto_augment=policy, interpolation=interpolation)
    stages = cast(Any, build_train_transform(config, image_size, normalisation)).transforms
    return cast("Callable[[Image], Image]", next(stage for stage in stages if _operations(stage)))


def _operations(stage: Any) -> list[Any]:
    """The operations of timm's RandAugment (``ops``) or AutoAugment (``policy``, in pairs); of other stages none."""
    policies = getattr(stage, "policy", [getattr(stage, "ops", [])])
    return [operation for policy in policies for operation in policy]


def _posterize(image: Image, bits_to_keep: int, **ignored: object) -> Image:
    """timm's operation, also for the 0 bits that strong magnitudes draw: Pillow 13 refuses them, black is meant."""
    from PIL import ImageOps

    if bits_to_keep < 1:
        return image.point(lambda value: 0)
    return image if bits_to_keep >= 8 else ImageOps.posterize(image, bits_to_keep)


def seed_everything_for_sample(seed: int, epoch: int, index: int) -> None:
    """Seed Python's, numpy's and torch's global CPU generators as a function of the arguments alone.

    ``index`` counts positions in the epoch, not images, where images repeat (repeated augmentation).
    """
    _seed_everything(seed, _SAMPLE, epoch, index)


def seed_everything_for_step(seed: int, step: int) -> None:
    """Seed the same generators, and the GPUs', for what a training step draws, on every process alike."""
    torch.cuda.manual_seed_all(_seed_everything(seed, _STEP, step))


def _seed_everything(seed: int, *where: int) -> int:
    words = np.random.SeedSequence(seed, spawn_key=where).generate_state(3, np.uint64)
    random.seed(int(words[0]))
    np.random.seed(int(words[1] % 2**32))
    torch.default_generator.manual_seed(int(words[2]))
    return int(words[2])

"""The training transform of finetuning, and RandAugment for pretraining: DeiT's, from timm's parts.

timm draws from the global generators of Python, numpy and torch. Loader workers call ``seed_everything_for_sample``
before each image, and the training loop calls ``seed_everything_for_step`` before each forward pass, so that a draw
depends only on its image or step. If images are loaded in the training process itself, the second call undoes the
first, so the number of workers changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from pretrain.config import Interpolation, Normalisation
from pretrain.errors import InputError
from pretrain.views.finetuning import TrainAugmentationConfig

if TYPE_CHECKING:
    from PIL.Image import Image

_SAMPLE, _STEP = range(2)


def build_train_transform(
    config: TrainAugmentationConfig, image_size: int, normalisation: Normalisation
) -> Callable[[Image], torch.Tensor]:
    """Return a transform from an RGB image to a normalised float32 tensor, (3, image_size, image_size).

    Random resized crop → flip → RandAugment, or else colour jitter → normalise → random erasing. For images of at most
    32 pixels, DeiT's script uses a padded crop instead; this transform does not.

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
            color_jitter=cast(float, config.color_jitter),  # timm accepts None, but its annotation doesn't
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
    """Return the RandAugment or AutoAugment stage of ``build_train_transform``: RGB image → RGB image of its size.

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
    """Posterize as timm does, and return black for 0 bits, which strong magnitudes draw and Pillow 13 refuses."""
    from PIL import ImageOps

    if bits_to_keep < 1:
        return image.point(lambda value: 0)
    return image if bits_to_keep >= 8 else ImageOps.posterize(image, bits_to_keep)


def seed_everything_for_sample(seed: int, epoch: int, index: int) -> None:
    """Seed the global CPU generators of Python, numpy and torch from the arguments alone.

    With repeated augmentation, ``index`` must tell the copies of an image apart.
    """
    _seed_everything(seed, _SAMPLE, epoch, index)


def seed_everything_for_step(seed: int, step: int) -> None:
    """Seed the same generators and those of the GPUs for a training step, equally on every process."""
    torch.cuda.manual_seed_all(_seed_everything(seed, _STEP, step))


def _seed_everything(seed: int, *key: int) -> int:
    seeds = np.random.SeedSequence(seed, spawn_key=key).generate_state(3, np.uint64)
    random.seed(int(seeds[0]))
    np.random.seed(int(seeds[1] % 2**32))
    torch.default_generator.manual_seed(int(seeds[2]))
    return int(seeds[2])

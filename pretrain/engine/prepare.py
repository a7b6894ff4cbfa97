"""Chooses how gradients are computed, and sets up the backbone and torch, before the first step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from pretrain.compute import ComputeOptions
from pretrain.config import PretrainConfig
from pretrain.distributed import get_world_size
from pretrain.engine.memory import StepImages, find_micro_batch_size
from pretrain.engine.microbatch import MicroBatchedStep, has_batch_norm
from pretrain.engine.step import ComputeGradients, PlainStep, Precision
from pretrain.errors import InputError
from pretrain.method import FeatureMethod, Method


def build_step(
    method: nn.Module, precision: Precision, device: torch.device, micro_batch_size: int, share: int
) -> ComputeGradients:
    """Return the plain step if ``micro_batch_size`` covers a process's ``share``, else one in micro-batches."""
    if micro_batch_size >= share:
        return PlainStep(method, precision, device)
    return MicroBatchedStep(method, precision, micro_batch_size)


def choose_micro_batch_size(
    method: nn.Module,
    config: PretrainConfig,
    options: ComputeOptions,
    precision: Precision,
    device: torch.device,
) -> int:
    """Return the number of images in the backbone at a time, per process; its whole share means the plain step.

    Raises
    ------
    InputError
        Micro-batches would change the result without ``batch_norm`` in the configuration, or the method has no features
        per image.
    """
    backbone = cast(Method, method).backbone
    share = config.global_batch_size // get_world_size()
    if config.batch_norm is not None:
        return _batch_norm_size(backbone, config, options, method)
    if options.micro_batch_size is None:
        return share
    if options.micro_batch_size == "auto" and has_batch_norm(backbone):
        return share  # micro-batches would not be exact
    if options.micro_batch_size == "auto":
        _require_features(method, config)
        sizes = [view.size or config.image_size for view in config.each_view]
        images = StepImages(share, len(sizes), max(sizes))
        return find_micro_batch_size(method, precision, images, device)
    size = min(options.micro_batch_size, share)
    if size < share:
        _require_features(method, config)
        if has_batch_norm(backbone):
            raise InputError(
                f"micro_batch_size: {size} of {share} images would change the batch statistics of {config.backbone}, "
                "and with them the result; use more processes, or name the approximation: batch_norm.per_micro_batch=N"
            )
    return size


def _batch_norm_size(backbone: nn.Module, config: PretrainConfig, options: ComputeOptions, method: nn.Module) -> int:
    """Return the images per process that ``batch_norm.per_micro_batch`` asks for."""
    assert config.batch_norm is not None
    images, processes = config.batch_norm.per_micro_batch, get_world_size()
    if not has_batch_norm(backbone):
        raise InputError(
            f"batch_norm: {config.backbone} has no batch normalisation, so micro-batches are exact; leave it out"
        )
    _require_features(method, config)
    if config.global_batch_size % images or images % processes:
        raise InputError(
            f"batch_norm.per_micro_batch: {images} must divide the global batch of {config.global_batch_size} "
            f"and be divisible by {processes} processes"
        )
    size = images // processes
    if options.micro_batch_size not in (None, "auto", size):
        raise InputError(
            f"micro_batch_size: {options.micro_batch_size} contradicts batch_norm.per_micro_batch: {images}, which "
            f"means {size} images on each of {processes} processes; leave it out"
        )
    return size


def _require_features(method: nn.Module, config: PretrainConfig) -> None:
    if not isinstance(method, FeatureMethod):
        raise InputError(
            f"micro_batch_size: method {config.method} can't be trained in micro-batches, because it is not a "
            "FeatureMethod (pretrain/method.py); leave micro_batch_size out"
        )


def prepare_backbone(method: nn.Module, config: PretrainConfig, options: ComputeOptions) -> None:
    """Apply gradient checkpointing and compilation to the online backbone, in place; its weights stay.

    Raises
    ------
    InputError
        The backbone does not support gradient checkpointing, or has batch normalisation, whose statistics a second
        forward pass would update again.
    """
    backbone = cast(Method, method).backbone
    if options.gradient_checkpointing:
        switch = getattr(backbone, "set_grad_checkpointing", None)
        if switch is None or has_batch_norm(backbone):
            raise InputError(
                f"gradient_checkpointing: works only for vision transformers, not for {config.backbone}; leave it out"
            )
        switch(True)
    if options.compile:
        backbone.compile()


@contextmanager
def deterministic_kernels(wanted: bool) -> Iterator[None]:
    """Use deterministic kernels during the block, if ``wanted``; torch raises an error where it has none."""
    if not wanted:
        yield
        return
    cudnn = torch.backends.cudnn
    before = (torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark)
    # cuBLAS reads this variable when it starts. With several streams, its workspace determines the order of sums.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]

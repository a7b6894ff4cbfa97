"""What is decided before the first step: how gradients are computed, and what the backbone and torch are told."""

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
from pretrain.engine.memory import ImagesOfAStep, fitting_micro_batch_size
from pretrain.engine.microbatch import MicroBatchedStep, normalises_over_the_batch
from pretrain.engine.step import ComputeGradients, PlainStep, Precision
from pretrain.errors import InputError
from pretrain.method import FeatureMethod, Method


def build_step(
    method: nn.Module, precision: Precision, device: torch.device, micro_batch_size: int, share: int
) -> ComputeGradients:
    """The step in micro-batches of so many of the ``share`` images a process has, or the plain one for all of them."""
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
    """Images in the backbone at a time, on each process; all of its share means the plain step.

    Raises
    ------
    InputError
        Micro-batches would change the result and the configuration does not say so, or can't be had at all.
    """
    backbone = cast(Method, method).backbone
    share = config.global_batch_size // get_world_size()
    if config.batch_norm is not None:
        return _size_of_approximation(backbone, config, options, method)
    if options.micro_batch_size is None:
        return share
    if options.micro_batch_size == "auto" and normalises_over_the_batch(backbone):
        return share  # nothing else is exact
    if options.micro_batch_size == "auto":
        _require_features(method, config)
        sizes = [view.size or config.image_size for view in config.each_view]
        images = ImagesOfAStep(share, len(sizes), max(sizes))
        return fitting_micro_batch_size(method, precision, images, device)
    size = min(options.micro_batch_size, share)
    if size < share:
        _require_features(method, config)
        if normalises_over_the_batch(backbone):
            raise InputError(
                f"micro_batch_size: {size} of {share} images would change the batch statistics of {config.backbone}, "
                "and with them the result; use more processes, or name the approximation: batch_norm.per_micro_batch=N"
            )
    return size


def _size_of_approximation(
    backbone: nn.Module, config: PretrainConfig, options: ComputeOptions, method: nn.Module
) -> int:
    assert config.batch_norm is not None
    images, processes = config.batch_norm.per_micro_batch, get_world_size()
    if not normalises_over_the_batch(backbone):
        raise InputError(
            f"batch_norm: {config.backbone} has no batch normalisation, so micro-batches are exact; leave this out"
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
            f"micro_batch_size: method {config.method} can't be trained in micro-batches, because it does not say what "
            "the features of an image are (FeatureMethod in pretrain/method.py); leave it out"
        )


def prepare_backbone(method: nn.Module, config: PretrainConfig, options: ComputeOptions) -> None:
    """Apply the options that concern the online backbone, in place; names and values of its weights stay.

    Raises
    ------
    InputError
        Gradient checkpointing that the backbone does not offer, or whose second forward pass would count batch
        statistics twice.
    """
    backbone = cast(Method, method).backbone
    if options.gradient_checkpointing:
        switch = getattr(backbone, "set_grad_checkpointing", None)
        if switch is None or normalises_over_the_batch(backbone):
            raise InputError(
                f"gradient_checkpointing: is for vision transformers, {config.backbone} is none; leave it out"
            )
        switch(True)
    if options.compile:
        backbone.compile()


@contextmanager
def deterministic_kernels(wanted: bool) -> Iterator[None]:
    """Deterministic kernels, or an error where torch has none, while the block runs."""
    if not wanted:
        yield
        return
    cudnn = torch.backends.cudnn
    before = (torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark)
    # cuBLAS reads it when it starts: with several streams its workspace decides the order of sums.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]

"""DeiT's optimiser and learning rate schedule, built from timm's parts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.optim import Optimizer

from evaluators.parts.classifier import Classifier
from evaluators.parts.config import FinetuneOptimizerConfig


def build_optimizer(config: FinetuneOptimizerConfig, model: Classifier, global_batch_size: int) -> Optimizer:
    """Return the optimiser at its peak rate, ``base_learning_rate × global_batch_size / base_batch_size``.

    Biases, other one-dimensional parameters and those that the backbone exempts have no weight decay.
    """
    from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]

    groups = param_groups_weight_decay(model, config.weight_decay, no_weight_decay_list=model.no_weight_decay())
    peak = config.peak_learning_rate(global_batch_size)
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=peak, betas=config.betas, eps=config.epsilon)
    return torch.optim.SGD(groups, lr=peak, momentum=config.momentum)


def learning_rate_by_epoch(optimizer: Optimizer, config: FinetuneOptimizerConfig, epochs: int) -> Callable[[int], None]:
    """Return a function that sets the learning rate of an epoch, counted from 0.

    DeiT's ``main.py`` steps timm's scheduler with the number of the finished epoch. So each epoch has the scheduled
    rate of the epoch before it, and the first two epochs both have the initial rate.
    """
    from timm.scheduler.cosine_lr import CosineLRScheduler

    scheduler = CosineLRScheduler(
        optimizer,
        t_initial=epochs,
        lr_min=config.final_learning_rate,
        warmup_t=config.warmup_epochs,
        warmup_lr_init=config.warmup_learning_rate,
    )
    return lambda epoch: scheduler.step(max(epoch - 1, 0))

"""A backbone with a linear head, trained as a whole; DeiT's optimiser and learning rate, built from timm's parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from evaluators.parts.config import FinetuneOptimizerConfig
from pretrain.randomness import derive_seed

HEAD = 13
"""Purpose number of the head's random draw; ``evaluators.parts.data`` lists the others."""


class Classifier(nn.Module):
    """A backbone with a linear head: images (B, 3, H, W) to logits (B, classes); everything trains.

    The head starts as in DeiT: truncated normal weights with standard deviation 0.02, bias 0.
    """

    def __init__(self, backbone: nn.Module, feature_dimension: int, num_classes: int, seed: int) -> None:
        super().__init__()
        # As in DeiT, the patch projection and the position embedding, which MoCo-v3 keeps fixed, train too.
        self.backbone = backbone.requires_grad_(True)
        self.head = nn.Linear(feature_dimension, num_classes)
        generator = torch.Generator().manual_seed(derive_seed(seed, HEAD))
        nn.init.trunc_normal_(self.head.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.backbone(images)))

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that the backbone exempts: a ViT's class token and position embedding."""
        exempt: set[str] = getattr(self.backbone, "no_weight_decay", set)()
        return {f"backbone.{name}" for name in exempt}


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

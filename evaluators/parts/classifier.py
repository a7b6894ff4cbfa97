"""A backbone with a linear head, trained as a whole, its optimiser and its learning rate, built from timm's parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from evaluators.parts.config import FinetuneOptimizerConfig
from evaluators.parts.layer_decay import split_by_layer
from pretrain.errors import InputError
from pretrain.randomness import derive_seed

HEAD = 13
"""Purpose number of the head's random draw; ``evaluators.parts.data`` lists the others."""


class Classifier(nn.Module):
    """A backbone with a linear head: images (B, 3, H, W) to logits (B, classes); everything trains.

    The head starts with truncated normal weights of standard deviation ``head_init_std``, DeiT's unless given, and
    bias 0. With ``pooling="mean"``, it takes the mean of the patch tokens, normalised by a new ``fc_norm``, and the
    backbone's own last normalisation is dropped (MAE's and BEiT's ``global_pool`` and ``use_mean_pooling``).

    Raises
    ------
    InputError
        Patch tokens are wanted, and the backbone has none.
    """

    def __init__(
        self,
        backbone: nn.Module,
        feature_dimension: int,
        num_classes: int,
        seed: int,
        *,
        pooling: Literal["backbone", "mean"] = "backbone",
        head_init_std: float = 0.02,
    ) -> None:
        super().__init__()
        # As in DeiT, the patch projection and the position embedding, which MoCo-v3 keeps fixed, train too.
        self.backbone = backbone.requires_grad_(True)
        self.fc_norm: nn.LayerNorm | None = None
        if pooling == "mean":
            _require_patch_tokens(backbone)
            self.backbone.norm = nn.Identity()
            self.fc_norm = nn.LayerNorm(feature_dimension, eps=1e-6)
        self.head = nn.Linear(feature_dimension, num_classes)
        generator = torch.Generator().manual_seed(derive_seed(seed, HEAD))
        nn.init.trunc_normal_(self.head.weight, std=head_init_std, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        if self.fc_norm is None:
            return cast(Tensor, self.head(self.backbone(images)))
        vit = cast(Any, self.backbone)
        tokens = vit.forward_features(images)[:, vit.num_prefix_tokens :]
        return cast(Tensor, self.head(self.fc_norm(tokens.mean(dim=1))))

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that the backbone exempts: a ViT's class token and position embedding."""
        exempt: set[str] = getattr(self.backbone, "no_weight_decay", set)()
        return {f"backbone.{name}" for name in exempt}


def _require_patch_tokens(backbone: nn.Module) -> None:
    needed = ("forward_features", "num_prefix_tokens", "norm")
    if missing := [name for name in needed if not hasattr(backbone, name)]:
        raise InputError(
            f"pooling: mean needs a backbone with patch tokens, as timm's VisionTransformer; {type(backbone).__name__} "
            f"has no {missing[0]}; set pooling: backbone",
            key=("pooling",),
        )


def build_optimizer(config: FinetuneOptimizerConfig, model: Classifier, global_batch_size: int) -> Optimizer:
    """Return the optimiser at its peak rate, ``base_learning_rate × global_batch_size / base_batch_size``.

    Biases, other one-dimensional parameters and those that the backbone exempts have no weight decay. With layer decay,
    a group's rate is ``lr_scale`` times the scheduled one.

    Raises
    ------
    InputError
        ``layer_decay`` is not 1, and the backbone has no transformer blocks.
    """
    from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]

    groups = param_groups_weight_decay(model, config.weight_decay, no_weight_decay_list=model.no_weight_decay())
    if config.layer_decay != 1:
        groups = split_by_layer(groups, model, model.backbone, config.layer_decay)
    peak = config.peak_learning_rate(global_batch_size)
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=peak, betas=config.betas, eps=config.epsilon)
    return torch.optim.SGD(groups, lr=peak, momentum=config.momentum)


def learning_rate_by_epoch(
    optimizer: Optimizer, config: FinetuneOptimizerConfig, epochs: int
) -> Callable[[float], None]:
    """Return a function that sets the learning rate of an epoch, counted from 0, fractional if it changes by step.

    If the rate changes by epoch, it is DeiT's, whose ``main.py`` steps timm's scheduler with the number of the finished
    epoch. So each epoch has the scheduled rate of the epoch before it, and the first two epochs both have the initial
    rate.
    """
    from timm.scheduler.cosine_lr import CosineLRScheduler

    after_warmup = config.cosine_begins == "after_warmup"
    scheduler: Any = CosineLRScheduler(
        optimizer,
        t_initial=epochs - config.warmup_epochs if after_warmup else epochs,
        lr_min=config.final_learning_rate,
        warmup_t=config.warmup_epochs,
        warmup_lr_init=config.warmup_learning_rate,
        warmup_prefix=after_warmup,
    )
    if config.rate_changes == "step":
        return lambda epoch: scheduler.step(epoch)
    return lambda epoch: scheduler.step(max(int(epoch) - 1, 0))

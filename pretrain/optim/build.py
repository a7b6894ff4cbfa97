"""From an optimiser's configuration to the optimiser."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from pretrain.config import OptimizerConfig, PretrainConfig
from pretrain.optim.lars import LARS
from pretrain.schedules import warmup_cosine


def build_optimizer(config: OptimizerConfig, model: nn.Module, device: torch.device) -> Optimizer:
    """The optimiser over the model's trainable parameters; its rate is set anew before every step."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.name == "lars":
        return LARS(
            trainable,
            lr=0.0,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            trust_coefficient=config.trust_coefficient,
        )
    groups = [{"params": trainable, "weight_decay": config.weight_decay}]
    if not config.decay_one_dimensional:
        exempt = {id(p) for p in trainable if p.ndim <= 1} | _exempted_by_backbone(model)
        groups = [
            {"params": [p for p in trainable if id(p) not in exempt], "weight_decay": config.weight_decay},
            {"params": [p for p in trainable if id(p) in exempt], "weight_decay": 0.0},
        ]
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, betas=config.betas, fused=device.type == "cuda")
    return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum)


def set_learning_rate(optimizer: Optimizer, config: PretrainConfig, *, epoch: float) -> None:
    """The rate of the step at the fractional ``epoch``, scaled with the global batch."""
    rate = config.optimizer
    for group in optimizer.param_groups:
        group["lr"] = warmup_cosine(
            epoch,
            total_epochs=config.epochs,
            warmup_epochs=rate.warmup_epochs,
            peak=rate.base_learning_rate * config.global_batch_size / rate.base_batch_size,
            floor=rate.final_learning_rate,
        )


def _exempted_by_backbone(model: nn.Module) -> set[int]:
    """Identities of the parameters that the backbone names: class token and position embedding of a ViT."""
    backbone = getattr(model, "backbone", None)
    names: set[str] = getattr(backbone, "no_weight_decay", set)()
    return {id(parameter) for name, parameter in model.named_parameters() if name.removeprefix("backbone.") in names}

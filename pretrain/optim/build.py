"""Builds an optimiser from its configuration, and sets its learning rates and weight decays at each step."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer

from pretrain.config import OptimizerConfig, PretrainConfig
from pretrain.method import Method, Step
from pretrain.optim.lars import LARS
from pretrain.schedules import cosine, warmup_cosine, warmup_steps

FACTOR, CONSTANT, DECAYS = "learning_rate_factor", "constant_learning_rate", "decays_as_configured"
"""Keys in the optimiser's groups: two fields of ``ParameterGroup``, and whether the configured decay applies."""


def build_optimizer(config: OptimizerConfig, method: Method, device: torch.device) -> Optimizer:
    """Return the optimiser of the method's trainable parameters, with rate 0; ``set_rates`` sets it at each step."""
    groups = _groups(config, method)
    if config.name == "lars":
        return LARS(
            groups,
            lr=0.0,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            trust_coefficient=config.trust_coefficient,
        )
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, betas=config.betas, fused=device.type == "cuda")
    return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum)


def set_rates(optimizer: Optimizer, config: PretrainConfig, step: Step) -> None:
    """Set each group's learning rate and weight decay for the step."""
    settings = config.optimizer
    peak = settings.peak_learning_rate(config.global_batch_size)
    rate = learning_rate(settings, step, peak)
    decay = settings.weight_decay
    if settings.final_weight_decay is not None:
        decay = cosine(step.progress / settings.schedule_length, decay, settings.final_weight_decay)
    for group in optimizer.param_groups:
        group["lr"] = group[FACTOR] * (peak if group[CONSTANT] else rate)
        if group[DECAYS]:
            group["weight_decay"] = decay


def learning_rate(config: OptimizerConfig, step: Step, peak: float) -> float:
    """Return the scheduled rate of the step, without a group's factor."""
    epoch = float(int(step.epoch)) if config.rate_changes == "epoch" else step.epoch
    warmup = config.warmup_steps * step.epochs / step.total if config.warmup_steps else config.warmup_epochs
    if config.schedule == "cosine":
        return warmup_cosine(
            epoch,
            total_epochs=step.epochs * config.schedule_length,
            warmup_epochs=warmup,
            peak=peak,
            floor=config.final_learning_rate,
            start=config.initial_learning_rate,
        )
    return warmup_steps(
        epoch,
        warmup_epochs=warmup,
        peak=peak,
        decay_epochs=config.decay_epochs,
        decay_factor=config.decay_factor,
        start=config.initial_learning_rate,
    )


def clip_gradients(config: OptimizerConfig, method: Method) -> None:
    """Clip the norm of all gradients together, or of each parameter's (DINO's official ``utils.py``)."""
    if config.clip_norm is None:
        return
    spared = {id(p) for group in method.parameter_groups() if not group.clipped for p in group.parameters}
    parameters = [p for p in method.parameters() if p.grad is not None and id(p) not in spared]
    for clipped in [parameters] if config.clip_by == "all" else [[parameter] for parameter in parameters]:
        torch.nn.utils.clip_grad_norm_(clipped, config.clip_norm)


def _groups(config: OptimizerConfig, method: Method) -> list[dict[str, Any]]:
    """Return torch's parameter groups, the method's own last; each is split into decaying and exempt parameters."""
    exempt = set() if config.decay_one_dimensional or config.name == "lars" else _exempt_from_decay(method)
    groups: list[dict[str, Any]] = []
    taken: set[int] = set()
    for group in method.parameter_groups():
        parameters = [parameter for parameter in group.parameters if parameter.requires_grad]
        if taken & {id(parameter) for parameter in parameters}:
            raise ValueError(f"{type(method).__name__}.parameter_groups: two groups share a parameter")
        taken |= {id(parameter) for parameter in parameters}
        kind = {FACTOR: group.learning_rate_factor, CONSTANT: group.constant_learning_rate}
        if group.weight_decay is not None:
            groups.append({"params": parameters, "weight_decay": group.weight_decay, DECAYS: False, **kind})
        else:
            groups += _split(parameters, set() if group.always_decays else exempt, config.weight_decay, kind)
    others = [p for p in method.parameters() if p.requires_grad and id(p) not in taken]
    return _split(others, exempt, config.weight_decay, {FACTOR: 1.0, CONSTANT: False}) + groups


def _split(
    parameters: list[torch.nn.Parameter], exempt: set[int], weight_decay: float, kind: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return one group of decaying and one of exempt parameters, without empty groups."""
    decayed = [p for p in parameters if id(p) not in exempt]
    undecayed = [p for p in parameters if id(p) in exempt]
    split = [
        {"params": decayed, "weight_decay": weight_decay, DECAYS: True, **kind},
        {"params": undecayed, "weight_decay": 0.0, DECAYS: False, **kind},
    ]
    return [group for group in split if group["params"]]


def _exempt_from_decay(method: Method) -> set[int]:
    """Return the ``id`` of biases, normalisation weights and parameters in the backbone's ``no_weight_decay()``."""
    names: set[str] = getattr(method.backbone, "no_weight_decay", set)()
    named = {id(parameter) for name, parameter in method.backbone.named_parameters() if name in names}
    return named | {id(parameter) for parameter in method.parameters() if parameter.ndim <= 1}

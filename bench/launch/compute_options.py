"""Checks which ``--compute`` options a pretraining supports. Doesn't import torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bench.plan.graph import PRETRAIN, PlannedRun
from bench.sweep.errors import InputError
from pretrain.backbones.lookup import find_backbone
from pretrain.compute import PLAIN, ComputeOptions

_NOT_FOR_RESNETS = {
    "micro_batch_size": "batch normalisation sees the whole batch (batch_norm: {per_micro_batch: …} approximates it)",
    "gradient_checkpointing": "its second forward pass would count batch statistics twice",
}


def fitting_compute(run: PlannedRun, compute: ComputeOptions) -> ComputeOptions:
    """The options without those that the run's backbone doesn't support."""
    return replace(compute, **{name: getattr(PLAIN, name) for name in _unfit(run, compute)})


def check_compute(runs: Iterable[PlannedRun], compute: ComputeOptions) -> list[str]:
    """One line for each option that some pretrainings don't support; called before anything is computed.

    Raises
    ------
    InputError
        No pretraining supports an option.
    """
    pretrainings = [run for run in runs if run.stage == PRETRAIN]
    lines = []
    for name, why in _NOT_FOR_RESNETS.items():
        unfit = [run for run in pretrainings if name in _unfit(run, compute)]
        if not unfit:
            continue
        backbones = ", ".join(sorted({_backbone(run) for run in unfit}))
        if len(unfit) == len(pretrainings):
            raise InputError(f"--compute {name}: not for {backbones}: {why}; leave it out")
        lines.append(f"--compute {name}: left out for {backbones}: {why}")
    return lines


def _unfit(run: PlannedRun, compute: ComputeOptions) -> list[str]:
    if run.stage != PRETRAIN or find_backbone(_backbone(run)).INFO.family != "resnet":
        return []
    # If batch_norm sets the approximation, the option is allowed, but has to agree with batch_norm's micro-batch size.
    is_named = run.config["pretrain"].get("batch_norm") is not None
    asked = {"micro_batch_size": isinstance(compute.micro_batch_size, int) and not is_named}
    asked["gradient_checkpointing"] = compute.gradient_checkpointing
    return [name for name, is_asked in asked.items() if is_asked]


def _backbone(run: PlannedRun) -> str:
    return str(run.config["pretrain"]["backbone"])

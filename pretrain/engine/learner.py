"""Runs training steps, and saves and restores the state between them: method, optimiser, loss scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pretrain.config import PretrainConfig
from pretrain.distributed import get_rank, get_world_size
from pretrain.engine.augmented import AugmentedBatch
from pretrain.engine.loader import RawBatch
from pretrain.engine.prepare import build_step
from pretrain.engine.step import Precision
from pretrain.method import Method, Step
from pretrain.methods.interface import RunFacts
from pretrain.optim import build_optimizer, clip_gradients, set_rates
from pretrain.randomness import STEP, derive_seed


@dataclass
class Learner:
    """Trains ``method``, which must be on ``device``; one call is one step.

    Parameters
    ----------
    micro_batch_size
        Images in the backbone at a time, per process.
    """

    method: Method
    config: PretrainConfig
    run: RunFacts
    num_classes: int
    device: torch.device
    precision: Precision
    micro_batch_size: int

    def __post_init__(self) -> None:
        share = self.config.global_batch_size // get_world_size()
        self.optimizer = build_optimizer(self.config.optimizer, self.method, self.device)
        self.gradients = build_step(self.method, self.precision, self.device, self.micro_batch_size, share)

    def __call__(self, raw: RawBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Run one optimiser step with the method's hooks; return this process's loss and logged scalars."""
        config, method, scaler = self.config, self.method, self.precision.scaler
        step = Step(raw.step, self.run.total_steps, raw.step / self.run.steps_per_epoch, config.epochs)
        method.before_step(step)
        set_rates(self.optimizer, config, step)
        self.optimizer.zero_grad(set_to_none=True)
        batch = AugmentedBatch(raw, config, self.num_classes, get_rank(), self.device)
        loss, logs = self.gradients(batch, derive_seed(config.seed, STEP, raw.step, get_rank()))
        scaler.unscale_(self.optimizer)
        method.after_backward(step)
        clip_gradients(config.optimizer, method)
        scaler.step(self.optimizer)
        scaler.update()
        method.after_step(step)
        return loss, logs

    def state(self) -> dict[str, Any]:
        """Return the state that a restart needs. Its tensors are not copied; later steps change them."""
        return {
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` returned."""
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.scaler.load_state_dict(state["scaler"])

"""Linear probe: the accuracy of one linear layer trained on frozen features.

Protocol
    MoCo-v3's: the backbone stays in evaluation mode; SGD without weight decay on a linear head, 90 epochs, batch
    1024, rate 0.1 (R50) or 3.0 (ViT) × batch/256, cosine per epoch, random resized crops and flips; top-1 on the
    centre crop, of the last epoch. The recipes ``linear-moco``, ``linear-simsiam``, ``linear-simclr`` and
    ``linear-byol`` change optimiser, schedule and head's start to those of these methods' own probes.
Source
    MoCo-v3 (arXiv 2104.02057) and facebookresearch/moco-v3 ``main_lincls.py``; OPERA's paper, table 1. Each recipe
    names its own.
Command
    ``opera-bench evaluate linear RUN_ID``
Expected
    top1, ImageNet, MoCo-v3's official checkpoints: R50 68.9 / 72.8 / 74.6 (100 / 300 / 1000 epochs), ViT-S 73.2,
    ViT-B 76.7; other codebases land within ±0.4.
Runtime
    Not measured on ImageNet: 90 passes over the training set, forward only. The digits: about 5 s on one core.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from evaluators.interface import Context
from evaluators.parts.config import TRAINED_METRICS, TrainingConfig
from pretrain.config import Integer

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from evaluators.parts.setup import Setup

METRICS = TRAINED_METRICS


class Config(TrainingConfig):
    """Settings of the head; ``base_learning_rate`` is per ``base_batch_size`` images and scales with the batch."""

    RARE = TrainingConfig.RARE | {"optimizer", "schedule", "rate_changes", "decay_epochs", "decay_factor"}

    optimizer: Literal["sgd", "nesterov", "lars"] = Field(
        default="sgd", description="lars scales the steps of weight and bias, as apex's LARC without clipping"
    )
    base_learning_rate: float = Field(gt=0)
    base_batch_size: Integer = Field(gt=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    head_init_std: float = Field(ge=0, description="of the head's normal initialisation; its bias starts at 0")
    schedule: Literal["cosine", "steps"] = "cosine"
    rate_changes: Literal["epoch", "step"] = Field(default="epoch", description="how often the rate is set anew")
    decay_epochs: tuple[Integer, ...] = Field(default=(), description="steps: epochs from which the rate is multiplied")
    decay_factor: float = Field(default=0.1, gt=0, lt=1, description="steps: what it is multiplied with at each")

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        if bool(self.decay_epochs) != (self.schedule == "steps"):
            raise ValueError("schedule: steps needs decay_epochs, and decay_epochs needs schedule: steps")
        if self.decay_epochs and not 0 < min(self.decay_epochs) <= max(self.decay_epochs) < self.epochs:
            raise ValueError(f"decay_epochs must lie between 0 and epochs, which is {self.epochs}")
        if list(self.decay_epochs) != sorted(set(self.decay_epochs)):
            raise ValueError("decay_epochs must rise")
        if self.schedule != "steps" and self.decay_factor != type(self).model_fields["decay_factor"].default:
            raise ValueError("decay_factor needs schedule: steps")
        if self.optimizer == "nesterov" and self.momentum == 0:
            raise ValueError("momentum must be above 0 for optimizer: nesterov")
        return self


def learning_rate(config: Config, epoch: float) -> float:
    """Return the learning rate at an epoch, counted from 0 and perhaps fractional; there is no warm-up."""
    from pretrain.schedules import warmup_cosine, warmup_steps

    peak = config.base_learning_rate * config.global_batch_size / config.base_batch_size
    if config.schedule == "cosine":
        return warmup_cosine(epoch, total_epochs=config.epochs, warmup_epochs=0, peak=peak)
    return warmup_steps(
        epoch, warmup_epochs=0, peak=peak, decay_epochs=config.decay_epochs, decay_factor=config.decay_factor
    )


def build_optimizer(config: Config, head: nn.Module) -> Optimizer:
    """Return the head's optimiser, with rate 0."""
    import torch
    from timm.optim import Lars  # type: ignore[attr-defined]

    if config.optimizer == "lars":
        # Without always_adapt, timm scales no step of parameters that don't decay.
        return Lars(
            head.parameters(), lr=0.0, momentum=config.momentum, weight_decay=config.weight_decay, always_adapt=True
        )
    return torch.optim.SGD(
        head.parameters(),
        lr=0.0,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.optimizer == "nesterov",
    )


def evaluate(checkpoint: Path, config: Config, context: Context) -> dict[str, float]:
    """Train a linear head on ``train``; measure its accuracy on ``val`` after every epoch.

    Returns
    -------
    ``top1``, ``top5`` (with at least six classes) and ``train_loss`` of the last epoch; ``best_top1`` of the best
    epoch.

    Raises
    ------
    InputError
        The checkpoint or data can't be used, or a batch has more images than the data.
    RuntimeError
        A parameter or buffer of the backbone changed.
    NonFiniteLossError
        The loss became NaN or infinite.
    """
    from evaluators.parts.setup import set_up

    with set_up(checkpoint, config, context) as setup:
        return _probe(setup, config, context)


def _probe(setup: Setup, config: Config, context: Context) -> dict[str, float]:
    import torch
    from torch import nn
    from torch.nn import functional as F

    from evaluators.parts.accuracy import accuracies
    from evaluators.parts.classifier import HEAD
    from evaluators.parts.epochs import require_finite, run_epochs, stop_within
    from evaluators.parts.frozen import assert_unmoved, tensor_hashes
    from pretrain.distributed import get_world_size, mean_over_processes
    from pretrain.randomness import derive_seed

    device, splits, world_size = setup.device, setup.splits, get_world_size()
    train = setup.training_batches(config)
    backbone = setup.backbone.requires_grad_(False)
    before = tensor_hashes(backbone)
    # The backbone is frozen, so the features of the validation crops are equal in every epoch: compute them once.
    val_features, val_labels = setup.features(splits.val, config.interpolation_of_val, shared=True)

    head = nn.Linear(setup.width, splits.num_classes)
    generator = torch.Generator().manual_seed(derive_seed(config.seed, HEAD))
    nn.init.normal_(head.weight, std=config.head_init_std, generator=generator)
    nn.init.zeros_(head.bias)
    model = setup.synchronised(head.to(device))
    optimizer = build_optimizer(config, head)

    def set_learning_rate(epoch: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, epoch)

    def train_epoch(epoch: int) -> float:
        set_learning_rate(epoch)
        total = torch.zeros((), device=device)
        for batch in train.epoch(epoch):
            if config.rate_changes == "step":
                set_learning_rate(batch.step / train.steps_per_epoch)
            with torch.no_grad():
                features = backbone(batch.images)
            # Sum and divide by the global batch: processes may have unequal shares of the last batch.
            loss = F.cross_entropy(model(features), batch.labels, reduction="sum") * world_size / batch.global_size
            require_finite(loss, batch, epoch, splits.train)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * batch.global_size
            stop_within(epoch, context)
        return mean_over_processes({"loss": total / len(splits.train)})["loss"]

    def judge() -> dict[str, float]:
        with torch.no_grad():
            blocks = zip(val_features.split(4096), val_labels.split(4096), strict=True)
            return accuracies(((head(block), labels) for block, labels in blocks), splits.num_classes, device)

    metrics = run_epochs(
        epochs=config.epochs,
        state={"head": head, "optimizer": optimizer},
        train_epoch=train_epoch,
        judge=judge,
        learning_rate=lambda: float(optimizer.param_groups[0]["lr"]),
        context=context,
    )
    assert_unmoved(backbone, before)
    return metrics

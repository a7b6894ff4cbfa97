"""End-to-end training of a backbone with a linear head, used by ``finetune`` and ``transfer``.

Source: DeiT (Touvron et al. 2021) and facebookresearch/deit ``main.py`` and ``engine.py`` of 2021, which MoCo-v3
uses for finetuning and transfer. The settings that MAE, BEiT, SimMIM and iBOT add are off in its recipe.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluators.interface import Context
from evaluators.parts.accuracy import accuracies
from evaluators.parts.classifier import Classifier, build_optimizer, learning_rate_by_epoch
from evaluators.parts.config import FinetuneConfig, mixes
from evaluators.parts.data import MIX
from evaluators.parts.epochs import require_finite, run_epochs, stop_within
from evaluators.parts.setup import Setup, set_up
from pretrain.backbones.families.beit import unshare_position_bias
from pretrain.backbones.families.drop_path import set_drop_path, set_rows
from pretrain.distributed import get_rank, get_world_size, mean_over_processes, synchronise_batch_norm
from pretrain.errors import InputError
from pretrain.views.crop import sample_rng
from pretrain.views.mixing import draw_mixing, mix_images, mix_labels, swap_halves
from pretrain.views.timm_train import seed_everything_for_step

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def finetune(checkpoint: Path, config: FinetuneConfig, context: Context) -> dict[str, float]:
    """Train on ``train``; measure the accuracy of the raw weights on ``val`` after every epoch.

    Returns
    -------
    ``top1``, ``top5`` (with at least six classes) and ``train_loss`` of the last epoch; ``best_top1`` of the best
    epoch.

    Raises
    ------
    InputError
        The checkpoint or data can't be used, or the batch does not fit the data or the number of processes.
    NonFiniteLossError
        The loss became NaN or infinite.
    """
    with set_up(checkpoint, config, context) as setup:
        return _finetune(setup, config, context)


def require_equal_shares(config: FinetuneConfig, world_size: int) -> None:
    """Check that all processes get equal shares of the global batch.

    Raises
    ------
    InputError
        The global batch is not divisible by the number of processes, or a share is odd although images are mixed.
    """
    share, left_over = divmod(config.global_batch_size, world_size)
    if left_over:
        raise InputError(f"global_batch_size: {config.global_batch_size} is not divisible by {world_size} processes")
    if mixes(config) and share % 2:
        raise InputError(f"global_batch_size: mixup needs an even share for each process, not {share}")


def _finetune(setup: Setup, config: FinetuneConfig, context: Context) -> dict[str, float]:
    world_size, backbone, splits, device = get_world_size(), setup.backbone, setup.splits, setup.device
    require_equal_shares(config, world_size)
    train = setup.training_batches(config, repeats=config.repeated_augmentations, drop_last=True)
    val = setup.centre_crops(splits.val, config.interpolation_of_val, shared=True)
    if config.position_bias == "per_block":
        unshare_position_bias(backbone)
    set_drop_path(backbone, config.drop_path_rate)
    set_rows(backbone, get_rank(), world_size)
    classifier = Classifier(
        backbone,
        setup.width,
        splits.num_classes,
        config.seed,
        pooling=config.pooling,
        head_init_std=config.head_init_std,
    )
    classifier = cast(Classifier, synchronise_batch_norm(classifier, device).to(device))
    model = setup.synchronised(classifier)
    optimizer = build_optimizer(config.optimizer, classifier, config.global_batch_size)
    set_learning_rate = learning_rate_by_epoch(optimizer, config.optimizer, config.epochs)
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16" and device.type == "cuda")

    def autocast() -> AbstractContextManager[None]:
        if config.precision == "fp32":
            return nullcontext()
        return cast(AbstractContextManager[None], torch.autocast(device.type, PRECISIONS[config.precision]))

    def train_epoch(epoch: int) -> float:
        set_learning_rate(epoch)
        model.train()
        total = torch.zeros((), device=device)
        for batch in train.epoch(epoch):
            if config.optimizer.rate_changes == "step":
                set_learning_rate(batch.step / train.steps_per_epoch)
            seed_everything_for_step(config.seed, batch.step)
            images, targets = batch.images, batch.labels
            if mixes(config):
                mixing = draw_mixing(config.mixup, setup.header.image_size, sample_rng(config.seed, MIX, batch.step))
                images = mix_images(images, mixing, swap_halves)
                targets = mix_labels(targets, splits.num_classes, mixing, swap_halves)
            optimizer.zero_grad(set_to_none=True)
            with autocast():
                loss = F.cross_entropy(model(images), targets, label_smoothing=config.mixup.label_smoothing)
            require_finite(loss, batch, epoch, splits.train)
            scaler.scale(loss).backward()
            if config.optimizer.clip_norm is not None:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(classifier.parameters(), config.optimizer.clip_norm)
            scaler.step(optimizer)
            scaler.update()
            total += loss.detach()
            stop_within(epoch, context)
        return mean_over_processes({"loss": total / train.steps_per_epoch})["loss"]

    def logits() -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in val:
            with autocast():
                predicted = classifier(setup.prepare(images))
            yield predicted.float(), labels.to(device)

    def judge() -> dict[str, float]:
        model.eval()
        with torch.no_grad():
            return accuracies(logits(), splits.num_classes, device)

    return run_epochs(
        epochs=config.epochs,
        state={"model": classifier, "optimizer": optimizer, "scaler": scaler},
        train_epoch=train_epoch,
        judge=judge,
        learning_rate=lambda: max(float(group["lr"]) for group in optimizer.param_groups),
        context=context,
    )

"""What finetuning trains, how fast, and with which noise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from evaluators import finetune
from evaluators.parts.classifier import Classifier, build_optimizer, learning_rate_by_epoch
from evaluators.parts.finetuning import require_equal_shares
from pretrain.backbones.families.drop_path import set_drop_path
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import load_backbone
from pretrain.errors import InputError
from pretrain.randomness import epoch_order
from tests.evaluators.conftest import Curves, Few, MakeCheckpoint, context, resolved
from tests.evaluators.test_linear import WHOLE_IMAGE, whole_images


def classifier(backbone: str = "tiny_vit") -> Classifier:
    module = find_backbone(backbone)
    return Classifier(module.build(16), module.INFO.width, num_classes=7, seed=0)


def test_everything_trains_and_the_head_fits_the_classes() -> None:
    model = classifier()
    assert not [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert model.head.weight.shape == (7, find_backbone("tiny_vit").INFO.width)
    assert float(model.head.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert float(model.head.bias.detach().abs().sum()) == 0
    assert torch.equal(model.head.weight, classifier().head.weight)


@pytest.mark.parametrize("backbone", ["tiny_vit", "tiny_resnet"])
def test_what_decays_and_what_does_not(backbone: str) -> None:
    model = classifier(backbone)
    config = resolved("finetune", optimizer={"weight_decay": 0.05}).optimizer
    groups = build_optimizer(config, model, 1024).param_groups
    decay_of = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert len(decay_of) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        exempt = parameter.ndim == 1 or name in ("backbone.cls_token", "backbone.pos_embed")
        assert decay_of[id(parameter)] == (0 if exempt else 0.05), name


def test_adamw_as_deit_sets_it() -> None:
    config = resolved("finetune", optimizer={"base_learning_rate": 5e-4, "base_batch_size": 512}).optimizer
    optimizer = build_optimizer(config, classifier(), 2048)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {group["lr"] for group in optimizer.param_groups} == {5e-4 * 4}
    assert {(group["eps"], group["betas"]) for group in optimizer.param_groups} == {(1e-8, (0.9, 0.999))}


def deit_rate(epoch: int, *, epochs: int, peak: float, warmup: int) -> float:
    """timm 0.3.2's cosine as DeiT's main.py calls it: after epoch e the schedule is set to e, not to e + 1."""
    at = max(epoch - 1, 0)
    if at < warmup:
        return 1e-6 + at * (peak - 1e-6) / warmup
    return 1e-5 + 0.5 * (peak - 1e-5) * (1 + math.cos(math.pi * at / epochs))


@pytest.mark.parametrize(("epochs", "warmup"), [(100, 5), (150, 5), (100, 3), (5, 0)])
def test_the_rate_of_every_epoch_is_deits(epochs: int, warmup: int) -> None:
    changes = {"warmup_epochs": warmup, "warmup_learning_rate": 1e-6, "final_learning_rate": 1e-5}
    config = resolved("finetune", optimizer={**changes, "base_learning_rate": 5e-4}).optimizer
    optimizer = build_optimizer(config, classifier(), 1024)
    set_learning_rate = learning_rate_by_epoch(optimizer, config, epochs)
    order = [*range(epochs), 0, epochs // 2]  # a resumed run asks for any epoch first
    for epoch in order:
        set_learning_rate(epoch)
        expected = deit_rate(epoch, epochs=epochs, peak=1e-3, warmup=warmup)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([expected] * 2, rel=1e-9)


def test_drop_path_rises_linearly_as_timms_own_models_do() -> None:
    from timm.models.vision_transformer import VisionTransformer

    backbone: Any = find_backbone("vit_small").build(32)
    set_drop_path(backbone, 0.1)
    reference = VisionTransformer(img_size=32, embed_dim=12, num_heads=2, depth=12, num_classes=0, drop_path_rate=0.1)
    for block, expected in zip(backbone.blocks, reference.blocks, strict=True):
        for name in ("drop_path1", "drop_path2"):
            assert getattr(block, name).drop_prob == pytest.approx(getattr(getattr(expected, name), "drop_prob", 0.0))
    assert backbone.blocks[-1].drop_path2.drop_prob == pytest.approx(0.1)


def test_drop_path_on_a_resnet_is_refused() -> None:
    resnet = find_backbone("tiny_resnet").build(16)
    set_drop_path(resnet, 0)
    with pytest.raises(InputError, match=r"drop_path_rate: 0\.1 needs a vision transformer"):
        set_drop_path(resnet, 0.1)


def test_shares_that_cannot_be_made_are_refused() -> None:
    require_equal_shares(resolved("finetune", global_batch_size=64), world_size=2)
    with pytest.raises(InputError, match="64 is not divisible by 3 processes"):
        require_equal_shares(resolved("finetune", global_batch_size=64), world_size=3)
    mixing = {"mixup_alpha": 0.8}
    with pytest.raises(InputError, match="even share"):
        require_equal_shares(resolved("finetune", global_batch_size=6, mixup=mixing), world_size=2)
    with pytest.raises(InputError, match="global_batch_size must be even"):
        resolved("finetune", global_batch_size=7, mixup=mixing)


@pytest.mark.parametrize("backbone", ["tiny_vit", "tiny_resnet"])
def test_training_equals_a_plain_loop(
    backbone: str, make_checkpoint: MakeCheckpoint, few_digits: dict[str, Few], tmp_path: Path
) -> None:
    """Adam, decoupled decay and label smoothing written out, on the whole model in training mode."""
    path, epochs, size, seed = make_checkpoint(backbone), 3, 32, 5
    changes = {"warmup_epochs": 1, "warmup_learning_rate": 1e-6, "final_learning_rate": 1e-5}
    config = resolved(
        "finetune",
        backbone=backbone,
        seed=seed,
        epochs=epochs,
        global_batch_size=size,
        optimizer={**changes, "base_learning_rate": 3e-2},
        augmentation={**WHOLE_IMAGE, "interpolation": "bilinear"},
    )
    curves = Curves()
    finetune.evaluate(path, config, context(tmp_path / "run", curves))

    module = find_backbone(backbone)
    model = Classifier(load_backbone(path)[0], module.INFO.width, 10, seed).train()
    images, labels = whole_images(few_digits["train"])
    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in model.named_parameters()}
    step = 0
    for epoch in range(epochs):
        rate = deit_rate(epoch, epochs=epochs, peak=3e-2 * size / 512, warmup=1)
        order = epoch_order(len(labels), seed, epoch)
        losses = []
        for rows in np.split(order[: len(order) // size * size], len(order) // size):
            step += 1
            log_p = F.log_softmax(model(images[rows]), dim=1)
            target = torch.full_like(log_p, 0.1 / 10)
            target[range(size), labels[rows]] += 0.9
            loss = -(target * log_p).sum(dim=1).mean()
            losses.append(loss.item())
            model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                for name, p in model.named_parameters():
                    assert p.grad is not None, name
                    first, second = moments[name]
                    first.mul_(0.9).add_(0.1 * p.grad)
                    second.mul_(0.999).add_(0.001 * p.grad**2)
                    update = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
                    exempt = p.ndim == 1 or name in ("backbone.cls_token", "backbone.pos_embed")
                    p.mul_(1 if exempt else 1 - rate * 0.05).sub_(rate * update)
        assert curves.rows[epoch]["learning_rate"] == pytest.approx(rate)
        assert curves.rows[epoch]["train_loss"] == pytest.approx(np.mean(losses), rel=2e-3)

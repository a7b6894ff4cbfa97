"""DINO against its formulas written out, and what its teacher sees, follows and leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.batch import Batch, Place
from pretrain.checkpoint import load_backbone
from pretrain.engine.export import export
from pretrain.errors import InputError
from pretrain.method import Step
from pretrain.methods.parts.distillation import DistillationHead, teacher_temperature
from pretrain.resolve import resolve_pretraining
from pretrain.testing import check_method
from tests.pretrain.methods.common import (
    MULTI_CROP,
    assert_same_gradients,
    built,
    count,
    decay_of_each,
    random_features,
)
from tests.pretrain.test_engine import tiny_config

SMALL = {"output_dimension": 24, "hidden_dimension": 16, "bottleneck_dimension": 8, "frozen_prototype_epochs": 1}
SETTINGS = {**SMALL, "teacher_temperature_warmup_epochs": 2}


@pytest.mark.parametrize(("backbone", "drop_path"), [("tiny_vit", 0.3), ("tiny_resnet", 0.0)])
def test_rule(backbone: str, drop_path: float) -> None:
    options = {**SETTINGS, "drop_path_rate": drop_path}
    check_method("dino", options=options, views=MULTI_CROP, backbones=(backbone,))


def head_by_hand(head: DistillationHead, features: Tensor) -> Tensor:
    """Logits from the weights themselves: three layers, unit length, unit prototypes."""
    first, second, third = (layer for layer in head.mlp if isinstance(layer, nn.Linear))
    hidden = F.gelu(features @ first.weight.T + first.bias)
    hidden = F.gelu(hidden @ second.weight.T + second.bias)
    out = hidden @ third.weight.T + third.bias
    out = out / out.square().sum(dim=1, keepdim=True).sqrt()
    directions = head.last.parametrizations.weight.original1
    return out @ (directions / directions.square().sum(dim=1, keepdim=True).sqrt()).T


def small_dino(**options: Any) -> Any:
    method = built("dino", {**SMALL, "drop_path_rate": 0.0, **options}, nn.Identity()).double()
    with torch.no_grad():
        method.centre.mean.normal_(generator=torch.Generator().manual_seed(3))
        for parameter in method.teacher_head.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)))
        method.teacher_head.last.parametrizations.weight.original0.fill_(1)
    return method


@pytest.mark.parametrize("local_crops", [0, 3])
def test_loss_and_gradients_equal_the_sum_over_pairs(local_crops: int) -> None:
    """Every pair of a teacher's crop and another crop, image by image and prototype by prototype."""
    method, views, rows, temperature = small_dino(), 2 + local_crops, 4, 0.05
    method.temperature = temperature
    online, target = random_features(views, rows), random_features(2, rows, seed=2)
    centre = method.centre.mean.clone()

    total, pairs = torch.zeros((), dtype=torch.float64), 0
    teachers = [head_by_hand(method.teacher_head, view["backbone"]).detach() for view in target]
    for seen in range(2):
        for view in range(views):
            if view == seen:
                continue
            pairs += 1
            student = head_by_hand(method.head, online[view]["backbone"])
            for image in range(rows):
                weights = ((teachers[seen][image] - centre) / temperature).exp()
                exponents = (student[image] / 0.1).exp()
                for prototype in range(24):
                    share = weights[prototype] / weights.sum()
                    total = total - share * (exponents[prototype] / exponents.sum()).log() / rows
    assert pairs == 2 * views - 2
    loss, logs = method.loss_from_features(online, [*target, *[{}] * local_crops], torch.zeros(rows))
    leaves = [*method.named_parameters(), *((f"view {i}", view["backbone"]) for i, view in enumerate(online))]
    assert_same_gradients(loss, total / pairs, leaves)
    torch.testing.assert_close(logs["distillation_loss"], loss.detach())
    torch.testing.assert_close(method.centre.mean, 0.9 * centre + 0.1 * torch.cat(teachers).mean(dim=0))


def test_the_head_has_the_official_size() -> None:
    head = DistillationHead(768, 2048, 256, 65536)
    assert count(head) == 23_138_560
    assert count(head) - count(head, trained=True) == 65_536, "the lengths of the prototypes are fixed"
    assert torch.allclose(head.last.weight.norm(dim=1), torch.ones(65536))


def test_the_teachers_temperature_of_each_epoch_is_the_official_schedule() -> None:
    official = np.concatenate([np.linspace(0.04, 0.07, 50), np.full(350, 0.07)])
    found = [teacher_temperature(epoch, first=0.04, last=0.07, warmup_epochs=50) for epoch in range(400)]
    np.testing.assert_allclose(found, official, rtol=1e-12)
    assert teacher_temperature(0, first=0.04, last=0.07, warmup_epochs=1) == 0.04
    assert teacher_temperature(0, first=0.04, last=0.07, warmup_epochs=0) == 0.07
    method = built("dino", SETTINGS)
    method.before_step(Step(7, 8, 1.75, 2))
    assert method.temperature == pytest.approx(0.07)


def test_the_teacher_sees_global_crops_alone_and_learns_nothing_from_gradients() -> None:
    method = built("dino", {**SETTINGS, "drop_path_rate": 0.5}).train()
    seen: list[int] = []
    method.teacher_backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
    views = (torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16), *torch.randn(3, 4, 3, 8, 8))
    method.loss(Batch(views, torch.zeros(4), torch.arange(4)))[0].backward()
    assert seen == [16, 16]
    teacher = [*method.teacher_backbone.parameters(), *method.teacher_head.parameters()]
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in teacher)
    trained = [name for name, parameter in method.named_parameters() if parameter.requires_grad]
    assert all(dict(method.named_parameters())[name].grad is not None for name in trained)
    images = torch.randn(8, 3, 16, 16)
    assert torch.equal(method.teacher_backbone(images), method.teacher_backbone(images)), "the teacher drops no path"
    first, other = (method.features(images, Place(seed))["backbone"] for seed in (1, 2))
    assert not torch.equal(first, other), "the student does"


def test_the_teacher_follows_after_the_step_and_prototypes_wait() -> None:
    method = built("dino", {**SMALL, "drop_path_rate": 0.0})
    before = method.teacher_head.mlp[0].weight.clone()
    with torch.no_grad():
        method.head.mlp[0].weight.add_(1)
    method.after_step(Step(4, 8, 1.0, 2))
    momentum = 1 - (1 - 0.996) * (1 + np.cos(np.pi / 2)) / 2
    expected = momentum * before + (1 - momentum) * (before + 1)
    torch.testing.assert_close(method.teacher_head.mlp[0].weight.detach(), expected)

    def prototypes_train(epoch: float) -> bool:
        for parameter in method.parameters():
            parameter.grad = torch.ones_like(parameter)
        method.after_backward(Step(0, 8, epoch, 2))
        assert method.head.mlp[0].weight.grad is not None
        return method.head.last.parametrizations.weight.original1.grad is not None

    assert not prototypes_train(0.75)
    assert prototypes_train(1.0)


def test_tokens_decay_and_biases_do_not() -> None:
    decays = decay_of_each(built("dino", SETTINGS, "deit_small", 32))
    assert {name for name, decay in decays.items() if decay} == {
        name
        for name, parameter in built("dino", SETTINGS, "deit_small", 32).named_parameters()
        if parameter.requires_grad and parameter.ndim > 1
    }
    assert decays["backbone.cls_token"] == decays["backbone.pos_embed"] == 0.1


def test_the_teachers_backbone_is_saved(tmp_path: Path) -> None:
    method = built("dino", SETTINGS)
    with torch.no_grad():
        method.teacher_backbone.patch_embed.proj.weight.fill_(7)
    config = tiny_config(method="dino", method_options=SETTINGS, backbone="tiny_vit", image_size=16)
    export(method, config, tmp_path / "run" / "checkpoints")
    saved, _ = load_backbone(tmp_path / "run" / "checkpoints" / "backbone.safetensors")
    assert (saved.patch_embed.proj.weight == 7).all()


def test_one_view_is_refused() -> None:
    views = [{"crop_scale": [0.4, 1.0]}]
    with pytest.raises(InputError, match="dino needs two global crops"):
        resolve_pretraining(method="dino", backbone="tiny_vit", dataset="digits", seed=0, options={"views": views})

"""MSN against its formulas written out: dropped patches, assignments, the entropy of their mean."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pretrain.batch import Batch, Place
from pretrain.config import OptimizerConfig
from pretrain.errors import InputError
from pretrain.method import Step
from pretrain.methods.networks.msn import balanced_assignments
from pretrain.optim import clip_gradients
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

SMALL = {"prototypes": 12, "hidden_dimension": 16, "output_dimension": 8}
PLACE = Place(draw_seed=5)


def test_rule() -> None:
    check_method("msn", options=SMALL, views=MULTI_CROP, backbones=("tiny_vit",))


def head_by_hand(head: nn.Sequential, rows: Tensor) -> Tensor:
    """Two hidden layers normalised over the batch, and a last one, from the weights themselves."""
    for linear, norm in ((head[0], head[1]), (head[3], head[4])):
        rows = rows @ linear.weight.T + linear.bias
        centred = rows - rows.mean(dim=0)
        rows = centred / (centred.square().mean(dim=0) + norm.eps).sqrt() * norm.weight + norm.bias
        rows = rows * (1 + torch.erf(rows / math.sqrt(2))) / 2
    return rows @ head[6].weight.T + head[6].bias


def assignments_by_hand(prototypes: Tensor, embeddings: Tensor) -> Tensor:
    """The softmax of cosines over 0.1, row by row."""
    rows = []
    for embedding in embeddings:
        cosines = [(embedding @ one) / (embedding.norm() * one.norm()) for one in prototypes]
        weights = (torch.stack(cosines) / 0.1).exp()
        rows.append(weights / weights.sum())
    return torch.stack(rows)


def sinkhorn_by_hand(scores: Tensor, iterations: int) -> Tensor:
    """The official function: the whole sums to 1, then prototypes to 1/K each and samples to 1/B each."""
    balanced = scores.T / scores.sum()
    prototypes, samples = balanced.shape
    for _ in range(iterations):
        balanced = balanced / balanced.sum(dim=1, keepdim=True) / prototypes
        balanced = balanced / balanced.sum(dim=0, keepdim=True) / samples
    return (balanced * samples).T


@pytest.mark.parametrize("focal_views", [0, 3])
def test_loss_and_gradients_equal_the_formulas(focal_views: int) -> None:
    method = built("msn", {**SMALL, "entropy_weight": 0.6}, nn.Identity()).double()
    with torch.no_grad():
        for parameter in method.target_head.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)))
    rows = 5
    drawn = random_features(1 + focal_views, rows)
    whole = random_features(1, rows, seed=2)[0]["backbone"].detach()
    online, target = [drawn[0], {}, *drawn[1:]], [{}, {"backbone": whole}, *[{}] * focal_views]

    embeddings = [head_by_hand(method.head, drawn[0]["backbone"])]
    if focal_views:
        embeddings.append(head_by_hand(method.head, torch.cat([view["backbone"] for view in drawn[1:]])))
    anchors = assignments_by_hand(method.prototypes, torch.cat(embeddings))
    with torch.no_grad():
        sharp = assignments_by_hand(method.prototypes, head_by_hand(method.target_head, whole)) ** (1 / 0.25)
        targets = sinkhorn_by_hand(sharp / sharp.sum(dim=1, keepdim=True), 3)
    entropies = [-(targets[number % rows] * probabilities.log()).sum() for number, probabilities in enumerate(anchors)]
    mean = anchors.mean(dim=0)
    distance = math.log(12) - -(mean * mean.log()).sum()
    expected = torch.stack(entropies).mean() + 0.6 * distance

    loss, logs = method.loss_from_features(online, target, torch.zeros(rows))
    leaves = [*method.named_parameters(), *((f"view {n}", view["backbone"]) for n, view in enumerate(drawn))]
    assert_same_gradients(loss, expected, leaves)
    torch.testing.assert_close(logs["distance_from_uniform"], distance.detach())
    assert not any(p.requires_grad for p in (*method.target_head.parameters(), *method.target_backbone.parameters()))


def test_balanced_assignments_are_the_official_ones() -> None:
    scores = torch.rand(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(balanced_assignments(scores, 3), sinkhorn_by_hand(scores, 3))
    many = balanced_assignments(scores, 200)
    torch.testing.assert_close(many.sum(dim=0), torch.full((4,), 7 / 4, dtype=torch.float64))
    torch.testing.assert_close(many.sum(dim=1), torch.ones(7, dtype=torch.float64))


def test_the_random_anchor_keeps_one_subset_of_patches_for_the_whole_batch() -> None:
    method = built("msn", {**SMALL, "mask_ratio": 0.5})
    lengths: list[int] = []
    method.backbone.blocks[0].register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    targets: list[int] = []
    method.target_backbone.blocks[0].register_forward_pre_hook(lambda _, inputs: targets.append(inputs[0].shape[1]))
    views = (torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16), torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8))
    method.loss(Batch(views, torch.zeros(4), torch.arange(4)))[0].backward()
    assert lengths == [9, 5, 5], "half of 16 patches, then all 4 of each focal view"
    assert targets == [17], "the target is whole, and no anchor passes through its network"
    assert all(p.grad is not None for p in method.parameters() if p.requires_grad)
    kept = method.draw_kept(views[0], Place(5, 0, 0))
    assert kept.shape == (1, 8)
    assert torch.equal(method.draw_kept(views[0][:2], Place(5, 0, 2)), kept), "whatever the rows"
    assert not torch.equal(method.draw_kept(views[0], Place(6, 0, 0)), kept)


def test_the_target_follows_on_a_line_that_ends_after_the_training() -> None:
    method = built("msn", SMALL)
    before = method.target_head[0].weight.clone()
    with torch.no_grad():
        method.head[0].weight.add_(1)
    method.after_step(Step(4, 8, 1.0, 2))
    momentum = 0.996 + (1 - 0.996) * 4 / (8 * 1.25)
    torch.testing.assert_close(method.target_head[0].weight.detach(), before + (1 - momentum))
    assert method.exported_backbone() is method.target_backbone


def test_prototypes_neither_decay_nor_are_clipped() -> None:
    method = built("msn", SMALL)
    assert decay_of_each(method)["prototypes"] == 0.0
    assert decay_of_each(method)["head.0.weight"] == decay_of_each(method)["backbone.cls_token"] == 0.1
    for parameter in method.parameters():
        parameter.grad = torch.ones_like(parameter)
    config = OptimizerConfig(name="adamw", base_learning_rate=1e-3, weight_decay=0.1, warmup_epochs=0, clip_norm=3.0)
    clip_gradients(config, method)
    assert (method.prototypes.grad == 1).all()
    others = [p.grad.norm() for name, p in method.named_parameters() if name != "prototypes"]
    assert float(torch.stack(others).norm()) == pytest.approx(3.0, rel=1e-4)


def test_full_size() -> None:
    method = built("msn", {}, "deit_base", 224)
    assert count(method.head) == 6_304_000
    assert method.prototypes.numel() == 262_144
    assert method.draw_kept(torch.zeros(1, 3, 224, 224), PLACE).shape == (1, 137)
    assert method.prototypes.abs().max() <= 1 / 16


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        ("tiny_resnet", {}, "backbone: msn hides patches of a ViT, and tiny_resnet has none"),
        ("tiny_beit", {}, "the position bias of tiny_beit takes all"),
        ("tiny_vit", {"views": [{"crop_scale": [0.4, 1.0]}]}, "msn needs a random anchor and a target"),
    ],
)
def test_what_cannot_be_done_is_refused(backbone: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_pretraining(
            method="msn", backbone=backbone, dataset="digits", seed=0, options=options, recipe="digits-msn-vit"
        )

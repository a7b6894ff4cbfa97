"""BYOL: the loss against squared distances, the target after the step, and the official heads."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from pretrain.method import Step
from pretrain.methods.byol import Regression
from tests.pretrain.methods.parts import (
    assert_same_value_and_gradients,
    build,
    build_small,
    count,
    seen,
    train_a_step,
    two_views,
)


def test_the_loss_is_the_squared_distance_of_unit_vectors() -> None:
    predictions, targets = two_views(), two_views(1)
    loss, _ = Regression("projection").loss(seen(predictions, [{"projection": rows} for rows in targets]))
    expected = torch.zeros((), dtype=torch.float64)
    for p, z in ((predictions[0], targets[1]), (predictions[1], targets[0])):
        for prediction, target in zip(p, z.detach(), strict=True):
            difference = prediction / prediction.norm() - target / target.norm()
            expected = expected + difference @ difference / 6
    assert_same_value_and_gradients(loss, expected, predictions)
    assert torch.autograd.grad(loss, targets, allow_unused=True) == (None, None)


def test_orthogonal_outputs_give_four_and_equal_ones_nothing() -> None:
    eye = torch.eye(6, dtype=torch.float64)
    keys = [{"projection": eye}, {"projection": eye}]
    assert float(Regression("projection").loss(seen([eye, eye], keys))[0]) == pytest.approx(0)
    other = eye.roll(1, dims=1)
    assert float(Regression("projection").loss(seen([other, other], keys))[0]) == pytest.approx(4)


def test_the_heads_are_the_official_ones() -> None:
    method = build("byol", nn.Identity(), 2048)
    assert count(method.heads["projection"]) == 9_449_472
    assert count(method.heads["instance"]) == 2_109_440
    for head in method.heads.values():
        hidden, last = (layer for layer in head if isinstance(layer, nn.Linear))
        assert hidden.bias is not None
        assert last.bias is None
        assert isinstance(head[-1], nn.Linear)


def test_the_target_moves_after_the_step_with_a_momentum_that_rises_to_one() -> None:
    method = build_small("byol")
    assert method.target_backbone is not None
    for parameter in method.backbone.parameters():
        parameter.data.add_(1.0)
    before = copy.deepcopy(method.target_backbone)
    for index in (0, 3, 7):
        step = Step(index=index, total=8, epoch=index / 4, epochs=2)
        method.before_step(step)
        unmoved = zip(before.parameters(), method.target_backbone.parameters(), strict=True)
        assert all(torch.equal(old, new) for old, new in unmoved)
        method.after_step(step)
        momentum = 1 - (1 - 0.996) * (math.cos(math.pi * index / 8) + 1) / 2
        followed = zip(
            before.parameters(), method.target_backbone.parameters(), method.backbone.parameters(), strict=True
        )
        for old, new, leader in followed:
            torch.testing.assert_close(new, momentum * old + (1 - momentum) * leader)
        before = copy.deepcopy(method.target_backbone)


def test_the_target_gets_no_gradient_and_has_no_predictor() -> None:
    method = build_small("byol")
    _, logs = train_a_step(method)
    assert set(method.target_heads) == {"projection"}
    assert method.target_backbone is not None
    assert all(p.grad is None for p in [*method.target_backbone.parameters(), *method.target_heads.parameters()])
    assert all(p.grad is not None for p in [*method.backbone.parameters(), *method.heads.parameters()])
    assert set(logs) == {"regression_loss", "feature_std"}

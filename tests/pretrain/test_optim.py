"""LARS against a scalar re-derivation, parameter groups, and schedules against the formulas of RECIPES."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pretrain.config import OptimizerConfig
from pretrain.optim import LARS, build_optimizer
from pretrain.schedules import target_momentum, warmup_cosine


def test_lars_follows_a_scalar_re_derivation() -> None:
    lr, decay, momentum, trust = 0.3, 0.1, 0.9, 0.02
    matrix = nn.Parameter(torch.tensor([[3.0, 4.0]]))
    vector = nn.Parameter(torch.tensor([2.0, -1.0]))
    zero = nn.Parameter(torch.zeros(1, 2))
    optimizer = LARS([matrix, vector, zero], lr=lr, weight_decay=decay, momentum=momentum, trust_coefficient=trust)
    w, v, z = [3.0, 4.0], [2.0, -1.0], [0.0, 0.0]
    buffers = {"w": [0.0, 0.0], "v": [0.0, 0.0], "z": [0.0, 0.0]}
    for gradient in ([1.0, -2.0], [0.5, 0.25], [-1.0, 3.0]):
        for parameter in (matrix, vector, zero):
            parameter.grad = torch.tensor(gradient).view_as(parameter)
        optimizer.step()

        update = [g + decay * x for g, x in zip(gradient, w, strict=True)]
        scale = trust * math.hypot(*w) / math.hypot(*update)
        buffers["w"] = [momentum * b + scale * u for b, u in zip(buffers["w"], update, strict=True)]
        w = [x - lr * b for x, b in zip(w, buffers["w"], strict=True)]
        buffers["v"] = [momentum * b + g for b, g in zip(buffers["v"], gradient, strict=True)]
        v = [x - lr * b for x, b in zip(v, buffers["v"], strict=True)]
        update = [g + decay * x for g, x in zip(gradient, z, strict=True)]
        scale = trust * math.hypot(*z) / math.hypot(*update) if math.hypot(*z) else 1.0
        buffers["z"] = [momentum * b + scale * u for b, u in zip(buffers["z"], update, strict=True)]
        z = [x - lr * b for x, b in zip(z, buffers["z"], strict=True)]
    assert matrix.tolist()[0] == pytest.approx(w, rel=1e-5)
    assert vector.tolist() == pytest.approx(v, rel=1e-5)
    assert zero.tolist()[0] == pytest.approx(z, rel=1e-5)


@pytest.mark.parametrize(("decay_all", "expected"), [(True, [0.1]), (False, [0.1, 0.0])])
def test_decay_groups(decay_all: bool, expected: list[float]) -> None:
    config = OptimizerConfig(
        name="adamw", base_learning_rate=1e-3, weight_decay=0.1, warmup_epochs=0, decay_one_dimensional=decay_all
    )
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = build_optimizer(config, model, torch.device("cpu"))
    assert [group["weight_decay"] for group in optimizer.param_groups] == expected
    if not decay_all:
        assert all(p.ndim == 1 for p in optimizer.param_groups[1]["params"])


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    config = OptimizerConfig(name="lars", base_learning_rate=0.3, weight_decay=1e-6, warmup_epochs=10)
    (group,) = build_optimizer(config, model, torch.device("cpu")).param_groups
    assert len(group["params"]) == 1


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 0.0), (5, 0.6), (10, 1.2), (55, 0.6), (100, 0.0), (32.5, 1.2 * 0.5 * (1 + math.cos(math.pi * 0.25)))],
)
def test_warmup_cosine(epoch: float, expected: float) -> None:
    assert warmup_cosine(epoch, total_epochs=100, warmup_epochs=10, peak=1.2) == pytest.approx(expected, abs=1e-12)


def test_cosine_ends_at_its_floor() -> None:
    assert warmup_cosine(20, total_epochs=20, warmup_epochs=0, peak=1.0, floor=0.1) == pytest.approx(0.1)


def test_target_momentum_rises_from_base_to_one() -> None:
    assert target_momentum(0, 0.99) == pytest.approx(0.99)
    assert target_momentum(0.5, 0.99) == pytest.approx(0.995)
    assert target_momentum(1, 0.99) == pytest.approx(1)

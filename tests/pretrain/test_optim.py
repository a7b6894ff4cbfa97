"""LARS against a scalar re-derivation, parameter groups, and schedules against the formulas of RECIPES."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from pretrain.config import OptimizerConfig
from pretrain.method import Method, ParameterGroup, Step
from pretrain.optim import LARS, build_optimizer, clip_gradients, set_rates
from pretrain.schedules import target_momentum, warmup_cosine
from tests.pretrain.test_engine import tiny_config


class Grouped(Method):
    """A network as a method, with the parameter groups that a test asks for."""

    def __init__(self, backbone: nn.Module, *groups: ParameterGroup) -> None:
        super().__init__()
        self.backbone = backbone
        self.groups = list(groups)

    def parameter_groups(self) -> list[ParameterGroup]:
        return self.groups


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
    optimizer = build_optimizer(config, Grouped(model), torch.device("cpu"))
    assert [group["weight_decay"] for group in optimizer.param_groups] == expected
    if not decay_all:
        assert all(p.ndim == 1 for p in optimizer.param_groups[1]["params"])


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    config = OptimizerConfig(name="lars", base_learning_rate=0.3, weight_decay=1e-6, warmup_epochs=10)
    (group,) = build_optimizer(config, Grouped(model), torch.device("cpu")).param_groups
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


def optimizer_config(**settings: Any) -> OptimizerConfig:
    """Rates per 256 images, as ``tiny_config``'s 128 halve them."""
    base = {"name": "sgd", "base_learning_rate": 2.0, "weight_decay": 0.1, "warmup_epochs": 0}
    return OptimizerConfig.model_validate({**base, **settings})


def rates(optimizer: OptimizerConfig, *steps: int, per_epoch: int = 10, epochs: int = 10) -> list[float]:
    """The rate at each of the steps, for a global batch of 128."""
    config = tiny_config(optimizer=optimizer.model_dump())
    built = build_optimizer(config.optimizer, Grouped(nn.Linear(1, 1)), torch.device("cpu"))
    found = []
    for index in steps:
        set_rates(built, config, Step(index, per_epoch * epochs, index / per_epoch, epochs))
        found.append(built.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize(("scaling", "peak"), [("linear", 1.0), ("sqrt", 2 * math.sqrt(0.5)), ("none", 2.0)])
def test_the_peak_scales_with_the_batch(scaling: str, peak: float) -> None:
    assert rates(optimizer_config(learning_rate_scaling=scaling), 0) == pytest.approx([peak])


def test_steps_multiply_the_rate_from_their_epochs_on() -> None:
    """MoCo-v1: times 0.1 at epochs 120 and 160 of 200, here 6 and 8 of 10."""
    found = rates(optimizer_config(schedule="steps", decay_epochs=(6, 8)), 0, 59, 60, 79, 80, 99)
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_constant_rate_after_a_warm_up_in_steps() -> None:
    config = optimizer_config(schedule="constant", warmup_steps=4, initial_learning_rate=0.2)
    assert rates(config, 0, 1, 3, 4, 99) == pytest.approx([0.2, 0.4, 0.8, 1, 1])


def test_a_rate_that_changes_by_epoch_is_the_rate_of_its_first_step() -> None:
    """MoCo-v2 and SimSiam: lr·(1 + cos(πe/E))/2 with whole e."""
    expected = [0.5 * (1 + math.cos(math.pi * epoch / 10)) for epoch in (0, 0, 3, 9)]
    assert rates(optimizer_config(rate_changes="epoch"), 0, 9, 35, 99) == pytest.approx(expected)


def test_a_schedule_longer_than_the_training_ends_before_its_floor() -> None:
    """MSN: rate and decay are those of 1.25 times the epochs."""
    config = optimizer_config(schedule_length=1.25, final_weight_decay=0.5)
    assert rates(config, 50) == pytest.approx([0.5 * (1 + math.cos(math.pi * 0.4))])
    built = build_optimizer(config, Grouped(nn.Linear(1, 1)), torch.device("cpu"))
    set_rates(built, tiny_config(optimizer=config.model_dump()), Step(50, 100, 5.0, 10))
    assert built.param_groups[0]["weight_decay"] == pytest.approx(0.5 - 0.4 * 0.5 * (1 + math.cos(math.pi * 0.4)))


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": "steps"},
        {"decay_epochs": (1,)},
        {"warmup_epochs": 1, "warmup_steps": 1},
        {"learning_rate_scaling": "cubic"},
        {"schedule_length": 0.5},
    ],
)
def test_schedules_that_contradict_themselves_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        optimizer_config(**settings)


def test_groups_have_their_own_rates_and_decays() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    scaled = ParameterGroup(list(model[0].parameters()), learning_rate_factor=0.5)
    fixed = ParameterGroup(list(model[1].parameters()), constant_learning_rate=True, weight_decay=0.0)
    config = tiny_config(optimizer=optimizer_config(decay_one_dimensional=False, final_weight_decay=0.3).model_dump())
    optimizer = build_optimizer(config.optimizer, Grouped(model, scaled, fixed), torch.device("cpu"))
    set_rates(optimizer, config, Step(50, 100, 5.0, 10))
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    expected = [(0.25, 0.2), (0.25, 0.0), (1.0, 0.0), (1.0, 0.0), (0.5, 0.2), (0.5, 0.0)]
    for parameter, pair in zip(model.parameters(), expected, strict=True):
        assert found[id(parameter)] == pytest.approx(pair)
    assert optimizer.param_groups[0]["lr"] == 0.5, "the rate of the first group, which curves show, is the schedule's"


def test_a_parameter_in_two_groups_is_refused() -> None:
    model = nn.Linear(2, 2)
    twice = [ParameterGroup([model.weight]), ParameterGroup(list(model.parameters()))]
    with pytest.raises(ValueError, match="two groups share a parameter"):
        build_optimizer(optimizer_config(), Grouped(model, *twice), torch.device("cpu"))


@pytest.mark.parametrize(("clip_by", "expected"), [("all", [0.6, 0.8]), ("parameter", [1.0, 1.0])])
def test_gradients_are_clipped_together_or_each(clip_by: str, expected: list[float]) -> None:
    model = Grouped(nn.Linear(1, 1))
    for parameter, value in zip(model.parameters(), (3.0, 4.0), strict=True):
        parameter.grad = torch.full_like(parameter, value)
    clip_gradients(optimizer_config(clip_norm=1.0, clip_by=clip_by), model)
    assert [float(p.grad) for p in model.parameters() if p.grad is not None] == pytest.approx(expected, rel=1e-5)


def test_a_group_that_always_decays_takes_tokens_and_biases_along() -> None:
    backbone = nn.Linear(2, 3)
    backbone.no_weight_decay = lambda: {"weight"}  # type: ignore[assignment]
    config = OptimizerConfig(
        name="adamw",
        base_learning_rate=1e-3,
        weight_decay=0.1,
        final_weight_decay=0.3,
        warmup_epochs=0,
        decay_one_dimensional=False,
    )
    plain = build_optimizer(config, Grouped(backbone), torch.device("cpu")).param_groups
    assert [group["weight_decay"] for group in plain] == [0.0]
    method = Grouped(backbone, ParameterGroup([backbone.weight], always_decays=True))
    optimizer = build_optimizer(config, method, torch.device("cpu"))
    decays = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert decays[id(backbone.weight)]["weight_decay"] == 0.1
    assert decays[id(backbone.bias)]["weight_decay"] == 0.0
    set_rates(optimizer, tiny_config(optimizer=config.model_dump()), Step(1, 2, 1.0, 2))
    assert decays[id(backbone.weight)]["weight_decay"] == pytest.approx(0.2), "and follows the decay's schedule"


@pytest.mark.parametrize("by", ["all", "parameter"])
def test_a_group_that_is_not_clipped_counts_nowhere(by: Literal["all", "parameter"]) -> None:
    backbone = nn.Linear(2, 1)
    method = Grouped(backbone, ParameterGroup([backbone.bias], clipped=False))
    backbone.weight.grad, backbone.bias.grad = torch.tensor([[3.0, 4.0]]), torch.tensor([100.0])
    config = OptimizerConfig(
        name="adamw", base_learning_rate=1e-3, weight_decay=0.1, warmup_epochs=0, clip_norm=1.0, clip_by=by
    )
    clip_gradients(config, method)
    torch.testing.assert_close(backbone.weight.grad, torch.tensor([[0.6, 0.8]]))
    assert backbone.bias.grad == 100.0

"""SimSiam: the loss against cosines, the stopped gradient, the official heads and the predictor's constant rate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pretrain.method import Step
from pretrain.methods.simsiam import NegativeCosine
from pretrain.optim import build_optimizer, set_rates
from pretrain.resolve import resolve_pretraining
from tests.pretrain.methods.parts import (
    assert_same_value_and_gradients,
    build,
    build_small,
    count,
    seen,
    train_a_step,
    two_views,
)


def test_the_loss_is_half_the_sum_of_negative_cosines_and_stops_at_projections() -> None:
    predictions, projections = two_views(), two_views(1)
    loss, _ = NegativeCosine().loss(seen(predictions, spaces=[{"projection": rows} for rows in projections]))
    expected = torch.zeros((), dtype=torch.float64)
    for p, z in ((predictions[0], projections[1]), (predictions[1], projections[0])):
        for prediction, projection in zip(p, z.detach(), strict=True):
            expected = expected - prediction @ projection / (prediction.norm() * projection.norm()) / 12
    assert_same_value_and_gradients(loss, expected, predictions)
    assert torch.autograd.grad(loss, projections, allow_unused=True) == (None, None)


def test_collapse_shows_in_the_loss_and_in_the_deviation() -> None:
    rows = torch.ones(6, 5, dtype=torch.float64)
    loss, logs = NegativeCosine().loss(seen([rows, rows], spaces=[{"projection": rows}] * 2))
    assert float(loss) == pytest.approx(-1)
    assert float(logs["feature_std"]) < 1e-6


def test_the_network_is_the_official_one() -> None:
    method = build("simsiam", "resnet50")
    assert count(method) == 38_201_408
    frozen = [parameter for parameter in method.parameters() if not parameter.requires_grad]
    assert [len(parameter) for parameter in frozen] == [2048]
    layers = [layer for layer in method.heads["projection"] if isinstance(layer, nn.Linear)]
    assert [layer.bias is None for layer in layers] == [True, True, False]
    assert method.heads["projection"][-1].affine is False
    layers = [layer for layer in method.heads["instance"] if isinstance(layer, nn.Linear)]
    assert [layer.bias is None for layer in layers] == [True, False]
    assert all((block.bn3.weight == 0).all() for block in method.backbone.modules() if hasattr(block, "bn3"))


def test_the_predictor_keeps_its_rate_while_the_others_fall() -> None:
    config = resolve_pretraining(method="simsiam", backbone="resnet50", dataset="imagenet", seed=0, options={})
    method = build_small("simsiam")
    optimizer = build_optimizer(config.optimizer, method, torch.device("cpu"))
    set_rates(optimizer, config, Step(index=799, total=800, epoch=799.0, epochs=800))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    decays = {group["weight_decay"] for group in optimizer.param_groups}
    assert {rates[id(p)] for p in method.heads["instance"].parameters()} == {0.05}
    trained = [*method.backbone.parameters(), *method.heads["projection"].parameters()]
    assert max(rates[id(p)] for p in trained if p.requires_grad) < 1e-6
    assert decays == {1e-4}, "batch normalisations and biases decay too"


def test_gradients_reach_the_whole_network() -> None:
    method = build_small("simsiam")
    _, logs = train_a_step(method)
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in method.parameters())
    assert set(logs) == {"similarity_loss", "feature_std"}

"""SimCLR: the loss against the paper's sums, image by image, and the official head."""

from __future__ import annotations

import math

import torch
from torch import nn

from pretrain.methods.simclr import NTXent
from tests.pretrain.methods.parts import (
    assert_same_value_and_gradients,
    build,
    build_small,
    count,
    seen,
    train_a_step,
    two_views,
)


def test_the_loss_is_the_sum_of_both_halves_means() -> None:
    """Twice eq. 1's mean over the 2N anchors."""
    views = two_views()
    rows = [row / row.norm() for view in views for row in view]
    expected = torch.zeros((), dtype=torch.float64)
    for i, anchor in enumerate(rows):
        scores = {j: (anchor @ other / 0.1).exp() for j, other in enumerate(rows) if j != i}
        expected = expected - (scores[(i + 6) % 12] / sum(scores.values())).log() / 6
    loss, _ = NTXent(0.1).loss(seen(views))
    assert_same_value_and_gradients(loss, expected, views)


def test_chance_level() -> None:
    """Of rows that are all alike, the loss is twice the logarithm of the number of candidates."""
    rows = torch.ones(6, 5, dtype=torch.float64)
    loss, logs = NTXent(0.1).loss(seen([rows, rows]))
    assert math.isclose(float(loss), 2 * math.log(11), rel_tol=1e-12)
    assert float(logs["feature_std"]) < 1e-6


def test_the_head_is_the_official_one() -> None:
    method = build("simclr", nn.Identity(), 2048)
    head = method.heads["instance"]
    assert count(head) == 4_460_672
    assert all(layer.bias is None for layer in head if isinstance(layer, nn.Linear))
    last = [layer for layer in head if isinstance(layer, nn.BatchNorm1d)][-1]
    assert last.bias is None
    assert abs(float(head[0].weight.detach().std()) - 0.01) < 1e-4
    torch.manual_seed(0)
    rows = head(torch.randn(64, 2048))
    torch.testing.assert_close(rows.mean(dim=0), torch.zeros(128), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows.std(dim=0, correction=0), torch.ones(128), atol=0.05, rtol=0)


def test_gradients_reach_the_whole_network_through_both_views() -> None:
    method = build_small("simclr")
    _, logs = train_a_step(method)
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert set(logs) == {"contrastive_loss", "feature_std"}

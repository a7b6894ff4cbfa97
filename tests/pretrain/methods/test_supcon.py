"""SupCon: L_out against the paper's sums, and its limit of one image per class, which is SimCLR's loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pretrain.errors import InputError
from pretrain.methods.simclr import NTXent
from pretrain.methods.supcon import SupervisedContrast
from pretrain.resolve import resolve_pretraining
from tests.pretrain.methods.parts import (
    assert_same_value_and_gradients,
    build,
    build_small,
    seen,
    train_a_step,
    two_views,
)


def test_the_loss_is_l_out_times_the_temperature() -> None:
    views, labels = two_views(), torch.tensor([0, 1, 0, 2, 1, 0])
    rows = [row / row.norm() for view in views for row in view]
    classes = labels.tolist() * 2
    expected = torch.zeros((), dtype=torch.float64)
    for i, anchor in enumerate(rows):
        others = [j for j in range(12) if j != i]
        positives = [j for j in others if classes[j] == classes[i]]
        denominator = sum((anchor @ rows[j] / 0.1).exp() for j in others)
        logarithms = sum(((anchor @ rows[j] / 0.1).exp() / denominator).log() for j in positives)
        expected = expected - 0.1 * logarithms / len(positives) / 12
    loss, _ = SupervisedContrast(0.1).loss(seen(views, labels=labels))
    assert_same_value_and_gradients(loss, expected, views)


def test_with_one_image_per_class_it_is_nt_xent() -> None:
    views = two_views()
    loss, _ = SupervisedContrast(0.1).loss(seen(views, labels=torch.arange(6)))
    both_halves, _ = NTXent(0.1).loss(seen(views))
    assert_same_value_and_gradients(loss / 0.1, both_halves / 2, views)


def test_the_head_has_biases_and_no_batch_normalisation() -> None:
    head = build("supcon", nn.Identity(), 2048).heads["instance"]
    assert [type(layer).__name__ for layer in head] == ["Linear", "ReLU", "Linear"]
    assert [tuple(layer.weight.shape) for layer in (head[0], head[2])] == [(2048, 2048), (128, 2048)]
    assert head[0].bias is not None
    assert head[2].bias is not None


def test_gradients_reach_the_whole_network() -> None:
    method = build_small("supcon")
    _, logs = train_a_step(method)
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert set(logs) == {"contrastive_loss", "feature_std"}


def test_mixed_labels_are_refused() -> None:
    mixing = {"mixup_alpha": 0.8, "cutmix_alpha": 0.0}
    with pytest.raises(InputError, match="mixing: supcon needs images of one class each"):
        resolve_pretraining(method="supcon", backbone="tiny_vit", dataset="digits", seed=0, options={"mixing": mixing})

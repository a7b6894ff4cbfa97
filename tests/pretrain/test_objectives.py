"""Losses against brute-force formulas, and the paper's equations against autograd."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.objectives import class_cross_entropy, info_nce

DOUBLE = torch.float64


def pair_weighting(
    similarities: torch.Tensor, positive: torch.Tensor, w_p: torch.Tensor, w_n: torch.Tensor
) -> torch.Tensor:
    """The general objective J of eq. 1, summed over all pairs.

    Parameters
    ----------
    similarities
        s(y, p), shape (B, P).
    positive
        I(l_y, l_p), boolean, shape (B, P).
    w_p, w_n
        Non-negative weights, shape (B, P). They are constants of the objective: no gradient flows into them, so that
        dJ/ds is -w_p on positive and w_n on negative pairs (eq. 16).
    """
    weight = torch.where(positive, -w_p, w_n).detach()
    return (weight * similarities).sum()


def softmax_pair_weights(similarities: torch.Tensor, positive: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(w_p, w_n) that make eq. 1 the softmax loss of eq. 14 (eq. 2): only negatives stand in the denominator."""
    negatives = similarities.masked_fill(positive, -torch.inf)
    return torch.ones_like(similarities), negatives.softmax(dim=1)


def info_nce_pair_weights(
    similarities: torch.Tensor, positive: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(w_p, w_n) that make eq. 1 InfoNCE (eq. 3). Each row has exactly one positive."""
    probabilities = (similarities / temperature).softmax(dim=1)
    of_negatives = probabilities.masked_fill(positive, 0.0).sum(dim=1, keepdim=True)
    return of_negatives.expand_as(similarities) / temperature, probabilities / temperature


def brute_force_info_nce(queries: torch.Tensor, keys: torch.Tensor, temperature: float, first_key: int) -> torch.Tensor:
    total = torch.zeros((), dtype=DOUBLE)
    for i, query in enumerate(queries):
        scores = [(query @ key) / (query.norm() * key.norm()) / temperature for key in keys]
        denominator = sum((score.exp() for score in scores), torch.zeros((), dtype=DOUBLE))
        total = total - (scores[first_key + i].exp() / denominator).log()
    return total / len(queries)


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 6),
    extra=st.integers(0, 5),
    dimension=st.integers(2, 7),
    temperature=st.sampled_from([0.07, 0.2, 1.0]),
    seed=st.integers(0, 999),
)
def test_info_nce_value_and_gradient(batch: int, extra: int, dimension: int, temperature: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(batch, dimension, generator=generator, dtype=DOUBLE, requires_grad=True)
    keys = torch.randn(batch + extra, dimension, generator=generator, dtype=DOUBLE, requires_grad=True)
    first = extra // 2
    loss = info_nce(queries, keys, temperature, first)
    expected = brute_force_info_nce(queries, keys.detach(), temperature, first)
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, queries, retain_graph=True)
    (expected_gradient,) = torch.autograd.grad(expected, queries)
    torch.testing.assert_close(gradient, expected_gradient)
    assert torch.autograd.grad(loss, keys, allow_unused=True)[0] is None, "no gradient may reach the keys"


def test_class_cross_entropy_value_gradient_and_soft_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 4, generator=generator, dtype=DOUBLE, requires_grad=True)
    labels = torch.tensor([0, 3, 1, 1, 2])
    loss = class_cross_entropy(logits, labels)
    by_hand = -sum(
        math.log(math.exp(row[label]) / sum(math.exp(v) for v in row))
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ) / len(labels)
    assert loss.item() == pytest.approx(by_hand)
    one_hot = torch.nn.functional.one_hot(labels, 4).to(DOUBLE)
    torch.testing.assert_close(class_cross_entropy(logits, one_hot), loss)
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient, (logits.softmax(1) - one_hot) / len(labels))


def test_equation_2_is_the_gradient_of_the_softmax_loss() -> None:
    """Eq. 15: d(eq. 14)/ds is -1 on the positive pair and the softmax over negatives elsewhere."""
    similarities = torch.randn(6, 5, dtype=DOUBLE, requires_grad=True)
    positive = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 3, 4, 0]), 5).bool()
    exponentials = similarities.exp()
    loss = -(exponentials[positive] / (exponentials * ~positive).sum(1)).log().sum()
    (expected,) = torch.autograd.grad(loss, similarities)
    w_p, w_n = softmax_pair_weights(similarities, positive)
    (gradient,) = torch.autograd.grad(pair_weighting(similarities, positive, w_p, w_n), similarities)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_equation_3_is_the_gradient_of_info_nce(temperature: float) -> None:
    similarities = torch.randn(6, 9, dtype=DOUBLE, requires_grad=True)
    positive = torch.zeros(6, 9, dtype=torch.bool)
    positive[range(6), [8, 1, 2, 7, 4, 5]] = True
    exponentials = (similarities / temperature).exp()
    loss = -(exponentials[positive] / exponentials.sum(1)).log().sum()
    (expected,) = torch.autograd.grad(loss, similarities)
    w_p, w_n = info_nce_pair_weights(similarities, positive, temperature)
    (gradient,) = torch.autograd.grad(pair_weighting(similarities, positive, w_p, w_n), similarities)
    torch.testing.assert_close(gradient, expected)
    assert (w_p >= 0).all()
    assert (w_n >= 0).all()


@pytest.mark.parametrize(("same_image", "same_class"), [(True, True), (False, True), (False, False)])
def test_proposition_1_and_corollary_1_for_linear_maps(same_image: bool, same_class: bool) -> None:
    """The weight on s(y, p) is that of eqs. 28-30, and grows from same view to same class to other class (eq. 11)."""
    generator = torch.Generator().manual_seed(3)
    w_g = torch.randn(4, 6, generator=generator, dtype=DOUBLE)
    w_h = torch.randn(3, 4, generator=generator, dtype=DOUBLE)
    p = torch.randn(6, generator=generator, dtype=DOUBLE)
    wp_self, wn_self, wp_full, wn_full = (torch.tensor(v, dtype=DOUBLE) for v in (0.7, 0.2, 1.0, 0.4))

    def weight(same_image: bool, same_class: bool) -> torch.Tensor:
        y = torch.randn(6, generator=generator, dtype=DOUBLE).requires_grad_()
        y_self, p_self = w_g @ y, w_g @ p
        y_full, p_full = w_h @ y_self, w_h @ p_self
        instance = pair_weighting((y_self @ p_self).view(1, 1), torch.tensor([[same_image]]), wp_self, wn_self)
        classes = pair_weighting((y_full @ p_full).view(1, 1), torch.tensor([[same_class]]), wp_full, wn_full)
        (gradient,) = torch.autograd.grad(instance + classes, y)
        return gradient @ p  # eq. 24: the change of s(y, p), p fixed

    alpha = (w_g @ p) @ (w_g @ p)
    beta = (w_h @ w_g @ p) @ (w_h @ w_g @ p)
    expected = (-wp_self if same_image else wn_self) * alpha + (-wp_full if same_class else wn_full) * beta
    torch.testing.assert_close(weight(same_image, same_class), expected)
    assert weight(True, True) <= weight(False, True) <= weight(False, False)

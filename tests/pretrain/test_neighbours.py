"""k-NN against scikit-learn's, recall@1 against a double loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from pretrain import neighbours
from pretrain.neighbours import recall_at_1, weighted_knn_top1

CLASSES, TEMPERATURE = 5, 0.07


def clusters(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (count, 8) that overlap enough for mistakes, of very different lengths."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    centres = np.random.default_rng(0).normal(size=(CLASSES, 8))
    features = (centres[labels] + 1.2 * rng.normal(size=(count, 8))) * rng.uniform(0.1, 10, (count, 1))
    return torch.from_numpy(features).float(), torch.from_numpy(labels)


@pytest.mark.parametrize("at_once", [2**26, 700, 1])
@pytest.mark.parametrize("k", [1, 20, 200])
def test_knn_equals_scikit_learn(k: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "SIMILARITIES_AT_ONCE", at_once)
    features, labels = clusters(200, seed=1)
    queries, query_labels = clusters(90, seed=2)
    reference = KNeighborsClassifier(k, weights=lambda distance: np.exp((1 - distance) / TEMPERATURE), metric="cosine")
    reference.fit(features.double().numpy(), labels.numpy())
    expected = 100 * reference.score(queries.double().numpy(), query_labels.numpy())
    assert 20 < expected < 100
    found = weighted_knn_top1(
        features=features,
        labels=labels,
        queries=queries,
        query_labels=query_labels,
        neighbours=k,
        temperature=TEMPERATURE,
        num_classes=CLASSES,
    )
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("at_once", [2**26, 700, 1])
def test_recall_at_1_equals_a_double_loop(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "SIMILARITIES_AT_ONCE", at_once)
    features, labels = clusters(80, seed=3)
    rows, correct = features.double().numpy(), 0
    for i, one in enumerate(rows):
        best, nearest = -np.inf, -1
        for j, other in enumerate(rows):
            cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
            if i != j and cosine > best:
                best, nearest = cosine, j
        correct += int(labels[nearest] == labels[i])
    assert 0 < correct < 80
    assert recall_at_1(features, labels) == pytest.approx(100 * correct / 80)


def test_recall_at_1_leaves_out_the_only_image_of_a_label() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    assert recall_at_1(features, torch.tensor([0, 0, 1])) == 100
    assert recall_at_1(features, torch.tensor([0, 1, 2])) is None

"""Nearest neighbours by cosine similarity, computed in blocks of queries."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

SIMILARITIES_AT_ONCE = 2**26
"""Most similarities per block; 256 MB in float32."""


def weighted_knn_top1(
    *,
    features: Tensor,
    labels: Tensor,
    queries: Tensor,
    query_labels: Tensor,
    neighbours: int,
    temperature: float,
    num_classes: int,
) -> float:
    """Return the percentage of queries whose class wins the vote of their nearest neighbours.

    The ``neighbours`` of highest cosine s vote with weight exp(s / temperature): Wu et al. 2018 (InstDisc),
    section 3.4, as in DINO's ``eval_knn.py``.

    Parameters
    ----------
    features, queries
        (N, D) and (M, D); vectors of any norm greater than 0.
    neighbours
        At most N.
    """
    bank = F.normalize(features, dim=1)
    correct = 0
    for rows in _blocks(len(queries), len(bank)):
        similarity, nearest = (F.normalize(queries[rows], dim=1) @ bank.T).topk(neighbours, dim=1)
        weights = torch.exp(similarity / temperature)
        votes = weights.new_zeros(len(weights), num_classes).scatter_add_(1, labels[nearest], weights)
        correct += int((votes.argmax(dim=1) == query_labels[rows]).sum())
    return 100 * correct / len(queries)


def recall_at_1(features: Tensor, labels: Tensor) -> float | None:
    """Return the percentage of embeddings whose nearest other embedding by cosine has their label.

    The OPERA release measures this on another embedding: its projector's output on bilinear crops. An embedding that is
    the only one of its label can't be right, so it is not counted; None if each label has only one.

    Parameters
    ----------
    features
        (N, D), N at least 2.
    """
    unit = F.normalize(features, dim=1)
    has_partner = labels.bincount()[labels] > 1
    correct = 0
    for rows in _blocks(len(unit), len(unit)):
        similarity = unit[rows] @ unit.T
        diagonal = torch.arange(rows.start, rows.stop, device=unit.device)
        similarity[torch.arange(len(diagonal), device=unit.device), diagonal] = -torch.inf
        correct += int((labels[similarity.argmax(dim=1)] == labels[rows]).sum())
    counted = int(has_partner.sum())
    return 100 * correct / counted if counted else None


def _blocks(num_queries: int, num_keys: int) -> Iterator[slice]:
    size = max(SIMILARITIES_AT_ONCE // num_keys, 1)
    for start in range(0, num_queries, size):
        yield slice(start, min(start + size, num_queries))

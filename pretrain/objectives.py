"""The losses, as pure functions on tensors.

Every one is an instance of the paper's general pair-weighting objective (eq. 1): it differs from the others only in
which pairs are positive and in the weights ``w_p`` and ``w_n`` of positive and negative pairs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(queries: Tensor, keys: Tensor, temperature: float, first_key: int = 0) -> Tensor:
    """InfoNCE over cosine similarities, averaged over the queries (paper eq. 13, second term; MoCo-v3).

    Parameters
    ----------
    queries
        Shape (B, D), any norm.
    keys
        Shape (K, D) with K >= B: the keys of all processes. No gradient flows into them.
    first_key
        Row of the key that is query 0's positive; query i's is ``first_key + i``.

    Returns
    -------
    Scalar. The softmax's denominator holds the positive and all K - 1 others.
    """
    queries = F.normalize(queries, dim=1)
    keys = F.normalize(keys.detach(), dim=1)
    logits = queries @ keys.T / temperature
    positives = torch.arange(len(queries), device=queries.device) + first_key
    return F.cross_entropy(logits, positives)


def class_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy, averaged over the batch (paper eq. 13, first term).

    Parameters
    ----------
    logits
        Shape (B, classes).
    labels
        Class indices (B,), or class probabilities (B, classes) as mixup makes them.

    Notes
    -----
    Eq. 13 as printed leaves the true class out of the denominator; the released code, and this, use the ordinary one.
    """
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


def masked_absolute_errors(predicted: Tensor, images: Tensor, mask: Tensor) -> Tensor:
    """Each image's mean absolute error over the pixels of its hidden patches, (B,).

    Source: SimMIM, arXiv 2111.09886, section 3.4.

    Parameters
    ----------
    predicted
        Shape (B, rows·columns, 3·p²): the pixels of every patch, channel by channel, each row by row.
    images
        Shape (B, 3, rows·p, columns·p).
    mask
        True where a patch was hidden, at least one in each image, shape (B, rows·columns). The others give neither
        loss nor gradient.
    """
    side = math.isqrt(predicted.shape[2] // 3)
    truth = F.unfold(images.float(), kernel_size=side, stride=side).transpose(1, 2)
    of_patches = (predicted - truth).abs().mean(dim=2)
    return (of_patches * mask).sum(dim=1) / mask.sum(dim=1)

"""Losses as pure functions on tensors.

Those on embeddings are instances of the paper's general pair-weighting objective (eq. 1). They differ only in which
pairs are positive, and in the weights ``w_p`` and ``w_n`` of positive and negative pairs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(queries: Tensor, keys: Tensor, temperature: float, first_key: int = 0) -> Tensor:
    """Return InfoNCE over cosine similarities, averaged over the queries (paper eq. 13, second term; MoCo-v3).

    The softmax's denominator has the positive key and the K - 1 others.

    Parameters
    ----------
    queries
        Shape (B, D), any norm.
    keys
        Shape (K, D) with K >= B: the keys of all processes. No gradient flows into them.
    first_key
        Row of query 0's positive key; that of query i is ``first_key + i``.
    """
    queries = F.normalize(queries, dim=1)
    keys = F.normalize(keys.detach(), dim=1)
    logits = queries @ keys.T / temperature
    positives = torch.arange(len(queries), device=queries.device) + first_key
    return F.cross_entropy(logits, positives)


def class_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the softmax cross-entropy, averaged over the batch (paper eq. 13, first term).

    Eq. 13 as printed leaves the true class out of the denominator. Like the released code, this function does not.

    Parameters
    ----------
    logits
        Shape (B, classes).
    labels
        Class indices (B,), or class probabilities (B, classes), e.g. of mixup.
    """
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


def masked_absolute_errors(predicted: Tensor, images: Tensor, mask: Tensor) -> Tensor:
    """Return each image's mean absolute error over the pixels of its hidden patches, (B,).

    Source: SimMIM, arXiv 2111.09886, section 3.4.

    Parameters
    ----------
    predicted
        Shape (B, rows·columns, 3·p²): the pixels of every patch, channel by channel, and row by row in each.
    images
        Shape (B, 3, rows·p, columns·p).
    mask
        True for hidden patches, at least one in each image, shape (B, rows·columns). The others give neither loss nor
        gradient.
    """
    side = math.isqrt(predicted.shape[2] // 3)
    truth = F.unfold(images.float(), kernel_size=side, stride=side).transpose(1, 2)
    patch_errors = (predicted - truth).abs().mean(dim=2)
    return (patch_errors * mask).sum(dim=1) / mask.sum(dim=1)


def full_precision(values: Tensor) -> Tensor:
    """Return 16-bit floats as float32, and others as they are: softmax and centres need more than 16 bits."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values

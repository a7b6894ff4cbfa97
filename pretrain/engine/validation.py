"""Measures the accuracy of a method's own classifier on centre crops of the validation split."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.utils.data import DataLoader

from pretrain.config import PretrainConfig
from pretrain.datasets import LabelledImages
from pretrain.distributed import get_rank, get_world_size, mean_over_processes
from pretrain.methods.interface import ClassifyingMethod
from pretrain.views.evaluation import CentreCrops, normalise

BATCH_SIZE = 256


def validate(
    method: nn.Module, images: LabelledImages, config: PretrainConfig, device: torch.device, num_workers: int
) -> dict[str, float]:
    """Return ``top1`` and, with more than five classes, ``top5`` in percent; {} if the method has no classifier.

    Every process must call this; they share the images. The method is in training mode afterwards.
    """
    if not hasattr(method, "class_logits"):
        return {}
    ranks = (1, 5) if images.num_classes > 5 else (1,)
    hits = torch.zeros(len(ranks), device=device)
    mine = range(get_rank(), len(images), get_world_size())
    rows = [list(mine[start : start + BATCH_SIZE]) for start in range(0, len(mine), BATCH_SIZE)]
    loader = DataLoader(
        CentreCrops(images, config.image_size, config.views[0].interpolation),
        batch_sampler=rows,
        num_workers=num_workers,
    )
    method.eval()
    try:
        with torch.no_grad():
            for crops, labels in loader:
                logits = cast(ClassifyingMethod, method).class_logits(normalise(crops.to(device), config.normalisation))
                if logits is None:
                    return {}
                right = logits.topk(ranks[-1], dim=1).indices == labels.to(device)[:, None]
                hits += torch.stack([right[:, :rank].any(dim=1).sum() for rank in ranks])
    finally:
        method.train()
    shares = {f"top{rank}": hit * get_world_size() * 100 / len(images) for rank, hit in zip(ranks, hits, strict=True)}
    return mean_over_processes(shares)

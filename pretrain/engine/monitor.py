"""Measures k-NN accuracy and recall@1 of the backbone during training, without changing the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pretrain.config import PretrainConfig
from pretrain.datasets import LabelledImages
from pretrain.distributed import agreed, gather, get_rank, get_world_size
from pretrain.neighbours import recall_at_1, weighted_knn_top1
from pretrain.views.evaluation import CentreCrops, normalise

BATCH_SIZE = 256
NEIGHBOURS, TEMPERATURE = 20, 0.07
"""Settings of the evaluator ``knn``. Images are resized bicubically, as there."""


@dataclass(frozen=True)
class Monitor:
    """Evaluates the backbone after every ``every_epochs`` epochs.

    It draws nothing from torch's global generators and changes nothing in the backbone. So a monitored training ends
    with the same bits as one that is not monitored.
    """

    every_epochs: int
    train: LabelledImages
    val: LabelledImages
    config: PretrainConfig
    device: torch.device
    num_workers: int
    should_stop: Callable[[], bool]

    def measure(self, backbone: nn.Module) -> dict[str, float]:
        """Return ``knn_top1`` and, if defined, ``recall_at_1`` in percent on the first process, {} on the others.

        Every process must call this; they share the images. If ``should_stop`` is true, all return {}.
        """
        with _evaluation_mode(backbone):
            bank = self._features(backbone, self.train)
            queries = None if bank is None else self._features(backbone, self.val)
        if bank is None or queries is None or get_rank() != 0:
            return {}
        top1 = weighted_knn_top1(
            features=bank[0],
            labels=bank[1],
            queries=queries[0],
            query_labels=queries[1],
            neighbours=min(NEIGHBOURS, len(self.train)),
            temperature=TEMPERATURE,
            num_classes=self.train.num_classes,
        )
        recall = recall_at_1(*queries)
        return {"knn_top1": top1} if recall is None else {"knn_top1": top1, "recall_at_1": recall}

    def _features(self, backbone: nn.Module, images: LabelledImages) -> tuple[Tensor, Tensor] | None:
        """Return features (N, D) and labels (N,) of a split in its order; None if asked to stop.

        Processes other than the first get empty tensors.
        """
        rank, processes = get_rank(), get_world_size()
        # Repeat the last image until all processes have equally many: collective calls would hang otherwise.
        mine = [min(row, len(images) - 1) for row in range(rank, len(images) + -len(images) % processes, processes)]
        rows = [mine[start : start + BATCH_SIZE] for start in range(0, len(mine), BATCH_SIZE)]
        crops = CentreCrops(images, self.config.image_size, "bicubic")
        # Without a generator of its own, the loader draws from torch's global one.
        loader = DataLoader(crops, batch_sampler=rows, num_workers=self.num_workers, generator=torch.Generator())
        features, labels = [], []
        for pixels, classes in loader:
            if agreed(self.should_stop(), self.device):
                return None
            # Calling forward bypasses torch.compile, so that its graphs for training are not recompiled.
            found = backbone.forward(normalise(pixels.to(self.device), self.config.normalisation)).float()
            all_features, all_classes = gather(found), gather(classes.to(self.device))
            if rank == 0:
                features.append(_interleave(all_features))
                labels.append(_interleave(all_classes))
        if rank != 0:
            return torch.empty(0), torch.empty(0)
        return torch.cat(features)[: len(images)], torch.cat(labels)[: len(images)]


def _interleave(gathered: Tensor) -> Tensor:
    """Return gathered rows in the order of the images; each of n processes had every n-th image."""
    by_process = gathered.view(get_world_size(), -1, *gathered.shape[1:])
    return by_process.transpose(0, 1).flatten(0, 1)


@contextmanager
def _evaluation_mode(backbone: nn.Module) -> Iterator[None]:
    """Evaluate without gradients, and restore the mode of every module afterwards."""
    modes = {module: module.training for module in backbone.modules()}
    backbone.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training

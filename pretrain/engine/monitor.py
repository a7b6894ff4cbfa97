"""How well neighbours tell classes while the backbone is being trained: a look that leaves no trace in the training."""

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
"""The protocol of the evaluator ``knn``, with which images are resized bicubically."""


@dataclass(frozen=True)
class Monitor:
    """Looks at the backbone after every so many epochs.

    Nothing is drawn from torch's generators and nothing in the backbone changes, so that a training that is looked at
    ends with the same bits as one that is not.
    """

    every_epochs: int
    train: LabelledImages
    val: LabelledImages
    config: PretrainConfig
    device: torch.device
    num_workers: int
    should_stop: Callable[[], bool]

    def look(self, backbone: nn.Module) -> dict[str, float]:
        """``knn_top1`` and ``recall_at_1`` in percent, on the first process.

        Processes share the images; the others return nothing, and so do all of them once they are asked to stop.
        """
        with _evaluating(backbone):
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
        return {"knn_top1": top1, "recall_at_1": recall_at_1(*queries)}

    def _features(self, backbone: nn.Module, images: LabelledImages) -> tuple[Tensor, Tensor] | None:
        """Features (N, D) and labels (N,) of a split in its order, on the first process; none on the others."""
        rank, processes = get_rank(), get_world_size()
        # Shares of equal length, or processes would wait for each other: the last image fills them up.
        mine = [min(row, len(images) - 1) for row in range(rank, len(images) + -len(images) % processes, processes)]
        rows = [mine[start : start + BATCH_SIZE] for start in range(0, len(mine), BATCH_SIZE)]
        crops = CentreCrops(images, self.config.image_size, "bicubic")
        # With a generator of its own: without one a loader draws from torch's.
        loader = DataLoader(crops, batch_sampler=rows, num_workers=self.num_workers, generator=torch.Generator())
        features, labels = [], []
        for pixels, classes in loader:
            if agreed(self.should_stop(), self.device):
                return None
            # Not by way of torch.compile, whose graphs for training stay as they are.
            found = backbone.forward(normalise(pixels.to(self.device), self.config.normalisation)).float()
            together = _interleaved(gather(found)), _interleaved(gather(classes.to(self.device)))
            if rank == 0:
                features.append(together[0])
                labels.append(together[1])
        if rank != 0:
            return torch.empty(0), torch.empty(0)
        return torch.cat(features)[: len(images)], torch.cat(labels)[: len(images)]


def _interleaved(gathered: Tensor) -> Tensor:
    """Rows of all processes in the order of the images, of which each process had every n-th."""
    by_process = gathered.view(get_world_size(), -1, *gathered.shape[1:])
    return by_process.transpose(0, 1).flatten(0, 1)


@contextmanager
def _evaluating(backbone: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module has the mode it had."""
    modes = {module: module.training for module in backbone.modules()}
    backbone.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training

"""Gradient caching (Gao et al., arXiv 2101.06983): the gradients of a whole batch in the memory of a micro-batch.

The loss couples the images of a batch (keys, batch normalisation in the heads). A backbone without batch normalisation
does not. So the backbone runs in micro-batches without a graph, then heads and loss run on the features of all images.
The loss's gradient with respect to the features goes back through the backbone micro-batch by micro-batch, in a second
forward pass with a graph. Only the order of sums differs from the plain step. The cost is one more forward pass of the
online backbone: 5/4 of the plain step, if a backward pass costs two forward passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pretrain.batch import Place
from pretrain.distributed import average_gradients
from pretrain.engine.augmented import AugmentedBatch
from pretrain.engine.step import Precision
from pretrain.method import FeatureMethod
from pretrain.randomness import derive_seed

Features = Mapping[str, Tensor]


@dataclass(frozen=True)
class _MicroBatch:
    view: int
    rows: range


class MicroBatchedStep:
    """Computes what ``PlainStep`` computes, with at most ``size`` images in the backbone at a time."""

    def __init__(self, method: nn.Module, precision: Precision, size: int) -> None:
        self.module = method
        self.method = cast(FeatureMethod, method)
        self.precision = precision
        self.size = size

    def __call__(self, batch: AugmentedBatch, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        online, target = self._features(batch, seed)
        loss, logs, gradients = self._heads(online, target, batch.labels, seed)
        del online, target
        with freeze_running_statistics(self.method.backbone):
            for micro_batch in self._micro_batches(batch):
                self._propagate_back(batch, micro_batch, gradients[micro_batch.view], seed)
        average_gradients(self.module)
        return loss, logs

    def _micro_batches(self, batch: AugmentedBatch) -> Iterator[_MicroBatch]:
        for view in range(len(batch.views)):
            for start in range(0, len(batch), self.size):
                yield _MicroBatch(view, range(start, min(start + self.size, len(batch))))

    @torch.no_grad()
    def _features(self, batch: AugmentedBatch, seed: int) -> tuple[list[Features], list[Features]]:
        """Return, per view, the online and the target network's features of all rows."""
        parts: list[tuple[list[Features], list[Features]]] = [([], []) for _ in batch.views]
        for micro_batch in self._micro_batches(batch):
            online, target = parts[micro_batch.view]
            images = batch.view(micro_batch.view, micro_batch.rows)
            place = batch.place(micro_batch.view, micro_batch.rows)
            # Enter autocast per micro-batch: it caches cast weights until it exits, and those cast here have no graph.
            with self.precision.autocast():
                online.append(self._online(images, place, micro_batch, seed))
                target.append(self.method.target_features(images, place))
        return [_concatenate(online) for online, _ in parts], [_concatenate(target) for _, target in parts]

    def _heads(
        self, online: Sequence[Features], target: Sequence[Features], labels: Tensor, seed: int
    ) -> tuple[Tensor, dict[str, Tensor], list[Features]]:
        """Return loss, logs, and per view the loss's gradient with respect to the features."""
        leaves = [{name: tensor.requires_grad_() for name, tensor in view.items()} for view in online]
        torch.manual_seed(seed)
        with self.precision.autocast():
            loss, logs = self.method.loss_from_features(leaves, target, labels)
        self.precision.scaler.scale(loss).backward()
        gradients: list[Features] = [
            {name: leaf.grad for name, leaf in view.items() if leaf.grad is not None} for view in leaves
        ]
        return loss.detach(), logs, gradients

    def _propagate_back(self, batch: AugmentedBatch, micro_batch: _MicroBatch, gradients: Features, seed: int) -> None:
        images = batch.view(micro_batch.view, micro_batch.rows)
        place = batch.place(micro_batch.view, micro_batch.rows)
        with self.precision.autocast():
            features = self._online(images, place, micro_batch, seed)
        rows = slice(micro_batch.rows.start, micro_batch.rows.stop)
        names = [name for name in gradients if features[name].requires_grad]
        if names:
            torch.autograd.backward([features[name] for name in names], [gradients[name][rows] for name in names])

    def _online(self, images: Tensor, place: Place, micro_batch: _MicroBatch, seed: int) -> Features:
        """Return the online features. Both passes seed torch alike, so that draws in the backbone agree."""
        torch.manual_seed(derive_seed(seed, micro_batch.view, micro_batch.rows.start))
        return self.method.features(images, place)


def has_batch_norm(backbone: nn.Module) -> bool:
    """Return whether the backbone has batch normalisation, which makes features depend on the whole batch."""
    return any(isinstance(module, _BatchNorm) for module in backbone.modules())


@contextmanager
def freeze_running_statistics(backbone: nn.Module) -> Iterator[None]:
    """Keep batch normalisations from updating their running statistics; they still use those of the batch."""
    tracking: list[Any] = [m for m in backbone.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True


def _concatenate(parts: Sequence[Features]) -> Features:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

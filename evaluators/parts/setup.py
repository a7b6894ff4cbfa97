"""Sets up an evaluation: process group, checkpoint, splits and loaders. Protocols add only their computation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from evaluators.interface import Context, EvaluatorConfig
from evaluators.parts.config import TrainingConfig
from evaluators.parts.data import CentreCropBatches, Splits, TrainingBatches, open_splits
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import CheckpointHeader, load_backbone
from pretrain.config import Interpolation
from pretrain.datasets import LabelledImages
from pretrain.distributed import get_rank, get_world_size, process_group
from pretrain.views.evaluation import normalise


@dataclass(frozen=True)
class Setup:
    """The checkpoint, data and device of an evaluation, and the batches and features computed from them.

    Parameters
    ----------
    backbone
        The trained backbone in evaluation mode, on the device; ``width`` is the dimension of its features.
    header
        The checkpoint's header, with image size and normalisation.
    """

    backbone: nn.Module
    width: int
    header: CheckpointHeader
    splits: Splits
    device: torch.device
    context: Context

    def training_batches(self, config: TrainingConfig, *, repeats: int = 1, drop_last: bool = False) -> TrainingBatches:
        """Return augmented batches of ``train``; the processes share each batch."""
        return TrainingBatches(
            self.splits.train,
            config.augmentation,
            self.header.normalisation,
            self.header.image_size,
            config.global_batch_size,
            config.seed,
            self.device,
            self.context.num_workers,
            repeats=repeats,
            drop_last=drop_last,
        )

    def centre_crops(
        self, images: LabelledImages, interpolation: Interpolation, *, shared: bool = False
    ) -> CentreCropBatches:
        """Return centre crops (B, 3, H, W) uint8 and labels (B,) of a split, shared by the processes if ``shared``."""
        return CentreCropBatches(
            images,
            image_size=self.header.image_size,
            interpolation=interpolation,
            num_workers=self.context.num_workers,
            rank=get_rank() if shared else 0,
            world_size=get_world_size() if shared else 1,
        )

    def prepare(self, images: Tensor) -> Tensor:
        """Return uint8 images (B, 3, H, W) as the backbone takes them: float32, normalised, on the device."""
        return normalise(images.to(self.device), self.header.normalisation)

    @torch.no_grad()
    def features(
        self, images: LabelledImages, interpolation: Interpolation, *, shared: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the features (N, width) float32 and labels (N,) of a split's centre crops, on the device.

        All images in the split's order; if ``shared``, only this process's share: every world_size-th image from its
        rank on.
        """
        features, labels = [], []
        for crops, targets in self.centre_crops(images, interpolation, shared=shared):
            features.append(self.backbone(self.prepare(crops)).float())
            labels.append(targets.to(self.device))
        return torch.cat(features), torch.cat(labels)

    def synchronised(self, model: nn.Module) -> nn.Module:
        """Return ``model``, with gradients averaged over the processes if there are several."""
        if get_world_size() == 1:
            return model
        return DistributedDataParallel(model, [self.device] if self.device.type == "cuda" else None)


@contextmanager
def set_up(checkpoint: Path, config: EvaluatorConfig, context: Context) -> Iterator[Setup]:
    """Join the process group, load the checkpoint and open both splits of ``config.dataset``.

    Raises
    ------
    InputError
        The checkpoint or data can't be used.
    """
    device = torch.device(context.device)
    with process_group(device):
        backbone, header = load_backbone(checkpoint)
        splits = open_splits(config, context)
        width = find_backbone(header.backbone).INFO.width
        yield Setup(backbone.to(device), width, header, splits, device, context)

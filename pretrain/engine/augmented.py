"""Augments a batch on the device, on demand: float images exist only while they are used."""

from __future__ import annotations

import torch
from torch import Tensor

from pretrain.batch import Batch, Place
from pretrain.config import PretrainConfig
from pretrain.engine.loader import RawBatch
from pretrain.randomness import AUGMENT, METHOD, MIX, derive_seed
from pretrain.views.augment import augment, draw_parameters
from pretrain.views.crop import sample_rng
from pretrain.views.mixing import draw_mixing, mix_images, mix_labels


class AugmentedBatch:
    """This process's share of one global batch. The same rows always give the same augmented images.

    Random parameters are drawn for the whole global batch, and each process uses those of its rows. So neither the
    number of processes nor micro-batches change an image.
    """

    def __init__(
        self, raw: RawBatch, config: PretrainConfig, num_classes: int, rank: int, device: torch.device
    ) -> None:
        self.config = config
        self.labels = raw.labels.to(device, non_blocking=True)
        self.indices = raw.indices
        self.views = config.each_view
        self.images = [images.to(device, non_blocking=True) for images in raw.views]
        self.first_row = rank * len(self)
        self.draw_seed = derive_seed(config.seed, METHOD, raw.step)
        self.parameters = []
        for number, view in enumerate(self.views):
            draw = number if view.repeats is None else view.repeats
            generator = torch.Generator().manual_seed(derive_seed(config.seed, AUGMENT, raw.step, draw))
            drawn = draw_parameters(view, config.global_batch_size, generator)
            self.parameters.append(drawn.rows(self.first_row, self.first_row + len(self)))
        self.mixing = None
        if config.mixing:
            self.mixing = draw_mixing(config.mixing, config.image_size, sample_rng(config.seed, MIX, raw.step))
            self.labels = mix_labels(self.labels, num_classes, self.mixing)

    def __len__(self) -> int:
        return len(self.labels)

    def view(self, number: int, rows: range | None = None) -> Tensor:
        """Return rows of one augmented view, by default all: float32, (len(rows), 3, H, W)."""
        rows = rows or range(len(self))
        if self.mixing is None:
            return self._augmented(number, rows)
        # Mixing pairs rows 2i and 2i+1. If `rows` cuts a pair, augment the partner too and drop it afterwards.
        pairs = range(rows.start - rows.start % 2, rows.stop + rows.stop % 2)
        mixed = mix_images(self._augmented(number, pairs), self.mixing)
        return mixed[rows.start - pairs.start : rows.stop - pairs.start]

    def place(self, number: int, rows: range) -> Place:
        """Return the position of ``rows`` of one view in the global batch."""
        return Place(self.draw_seed, number, self.first_row + rows.start)

    def _augmented(self, number: int, rows: range) -> Tensor:
        return augment(
            self.images[number][rows.start : rows.stop],
            self.parameters[number].rows(rows.start, rows.stop),
            self.views[number],
            self.config.normalisation,
        )

    def full_batch(self) -> Batch:
        """Return all rows of all views, augmented."""
        views = tuple(self.view(number) for number in range(len(self.views)))
        return Batch(views, self.labels, self.indices, self.first_row, self.draw_seed)

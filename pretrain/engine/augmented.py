"""The per-batch stage of the views, for any rows of a process's share: float images exist only while they are used."""

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
    """A process's share of one global batch, augmented on demand; the same rows are the same images every time.

    Parameters are drawn for the whole global batch, of which this process has its rows, and a micro-batch its own.
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
        """Images ``rows`` (all without it) of one view, float32, (len(rows), 3, H, W)."""
        rows = rows or range(len(self))
        if self.mixing is None:
            return self._augmented(number, rows)
        # Neighbours mix, so a micro-batch that begins or ends between two needs the one beside it for a moment.
        pairs = range(rows.start - rows.start % 2, rows.stop + rows.stop % 2)
        mixed = mix_images(self._augmented(number, pairs), self.mixing)
        return mixed[rows.start - pairs.start : rows.stop - pairs.start]

    def place(self, number: int, rows: range) -> Place:
        """Where images ``rows`` of one view are in the global batch."""
        return Place(self.draw_seed, number, self.first_row + rows.start)

    def _augmented(self, number: int, rows: range) -> Tensor:
        return augment(
            self.images[number][rows.start : rows.stop],
            self.parameters[number].rows(rows.start, rows.stop),
            self.views[number],
            self.config.normalisation,
        )

    def whole(self) -> Batch:
        views = tuple(self.view(number) for number in range(len(self.views)))
        return Batch(views, self.labels, self.indices, self.first_row, self.draw_seed)

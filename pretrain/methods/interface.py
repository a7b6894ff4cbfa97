"""The interface of a method module, and an optional one of its method. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pretrain.config import Normalisation, PretrainConfig, Strict

if TYPE_CHECKING:
    from torch import Tensor, nn


_PIXELS_AS_THEY_ARE = Normalisation(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@dataclass(frozen=True)
class RunFacts:
    """Facts of the run that a method is built for. A method must not depend on anything else about how it runs.

    Parameters
    ----------
    steps_per_epoch
        Full batches in an epoch.
    global_batch_size
        Images of a step over all processes.
    image_size
        Side in pixels of the images that the backbone is built for.
    view_sizes
        Side in pixels of each view, in the order of ``Batch.views``.
    normalisation
        Of the views' pixels, for a method that needs them in [0, 1]; without one they are.
    """

    epochs: int
    steps_per_epoch: int
    global_batch_size: int
    image_size: int
    view_sizes: tuple[int, ...]
    normalisation: Normalisation = _PIXELS_AS_THEY_ARE

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    @classmethod
    def of(cls, config: PretrainConfig, num_images: int) -> RunFacts:
        """Return the facts of a run over ``num_images`` training images."""
        sizes = tuple(view.size or config.image_size for view in config.each_view)
        steps = num_images // config.global_batch_size
        return cls(config.epochs, steps, config.global_batch_size, config.image_size, sizes, config.normalisation)


class ClassifyingMethod(Protocol):
    """A method that also trains a classifier. The classifier's accuracy on ``val`` goes into the run's record."""

    def class_logits(self, images: Tensor) -> Tensor | None:
        """Return logits (B, classes) of images (B, 3, H, W); None if this configuration has no classifier."""
        ...


class RepresentingMethod(Protocol):
    """Optional: a method with spaces above the backbone, which the evaluator ``similarity`` judges."""

    def represent(self, features: Tensor) -> Mapping[str, Tensor]:
        """Return features (B, width) in every space, the backbone's included: {space: (B, D)}."""
        ...


class MethodModule(Protocol):
    """The attributes of a module in ``pretrain.methods``.

    It may also have ``check(config: PretrainConfig) -> None``, which raises InputError for a configuration that the
    method can't run. Plans call it, so it must not import torch. ``METRICS``, a tuple of ``pretrain.metrics.Metric``,
    declares the scalars that the method logs; every shipped module has it.
    """

    Config: type[Strict]

    def build(
        self, config: Any, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts
    ) -> nn.Module:
        """Return the method, a ``pretrain.method.Method``, with the given freshly initialised backbone."""
        ...

"""The shape of a method's module, and what its method may offer beyond ``pretrain.method.Method``. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pretrain.config import Normalisation, PretrainConfig, Strict

if TYPE_CHECKING:
    from torch import Tensor, nn


_PIXELS_AS_THEY_ARE = Normalisation(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@dataclass(frozen=True)
class RunFacts:
    """What a method may know of the run it is built for. It may depend on nothing else of where and how it runs.

    Parameters
    ----------
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
        """The facts of a run over ``num_images`` training images."""
        sizes = tuple(view.size or config.image_size for view in config.each_view)
        steps = num_images // config.global_batch_size
        return cls(config.epochs, steps, config.global_batch_size, config.image_size, sizes, config.normalisation)


class ClassifyingMethod(Protocol):
    """Optional: a method that also trains a classifier, whose accuracy on ``val`` belongs to the run's record."""

    def class_logits(self, images: Tensor) -> Tensor | None:
        """(B, 3, H, W) → (B, classes); None where this configuration trains no classifier."""
        ...


class MethodModule(Protocol):
    """The shape of a module in ``pretrain.methods``.

    It may also have ``check(config: PretrainConfig) -> None``, which raises InputError for a run that the method can't
    do. Plans call it, so it imports no torch.
    """

    Config: type[Strict]

    def build(
        self, config: Any, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts
    ) -> nn.Module:
        """The method, a ``pretrain.method.Method``, around a freshly initialised backbone."""
        ...

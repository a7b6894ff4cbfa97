"""The shape of a method's module, and what its method may offer beyond ``pretrain.method.Method``. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pretrain.config import PretrainConfig, Strict

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pretrain.batch import Place


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
    """

    epochs: int
    steps_per_epoch: int
    global_batch_size: int
    image_size: int
    view_sizes: tuple[int, ...]

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    @classmethod
    def of(cls, config: PretrainConfig, num_images: int) -> RunFacts:
        """The facts of a run over ``num_images`` training images."""
        sizes = tuple(view.size or config.image_size for view in config.each_view)
        steps = num_images // config.global_batch_size
        return cls(config.epochs, steps, config.global_batch_size, config.image_size, sizes)


class GradientCachingMethod(Protocol):
    """Optional: a method whose loss is a function of features that each image has by itself.

    It can be trained in micro-batches (``pretrain.engine.microbatch``) whose gradients are those of the whole batch.
    Features are tensors by name whose first dimension is the images': a feature vector, or a loss of the image's own.
    """

    backbone: nn.Module

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """The online network's, with gradient, of images (B, 3, H, W); called twice for the same ones, seeded alike.

        What it draws from torch's own generator changes with the size of a micro-batch; what it derives from ``place``
        does not.
        """
        ...

    def target_features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """What else the loss needs of the images, without gradient; empty if nothing, as for views it does not use."""
        ...

    def loss_from_features(
        self, online: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Tensor]], labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As ``loss``, from the features per view of all of this process's images."""
        ...


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

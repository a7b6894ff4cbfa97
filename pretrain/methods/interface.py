"""What the engine asks of a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pretrain.config import Strict

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pretrain.batch import Batch, Place


class Method(Protocol):
    """A torch module that knows its loss. It has the attribute ``backbone``, whose weights are the result."""

    backbone: nn.Module

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise, and detached scalars worth logging."""
        ...

    def on_step(self, progress: float) -> None:
        """Called before every step with the fraction of training done, in [0, 1]."""
        ...


class GradientCachingMethod(Method, Protocol):
    """Optional: a method whose loss is a function of features that each image has by itself.

    It can be trained in micro-batches (``pretrain.engine.microbatch``) whose gradients are those of the whole batch.
    Features are tensors by name whose first dimension is the images': a feature vector, or a loss of the image's own.
    """

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """The online network's, with gradient, of images (B, 3, H, W); called twice for the same ones, seeded alike.

        What it draws from torch's own generator changes with the size of a micro-batch; what it derives from ``place``
        does not.
        """
        ...

    def target_features(self, images: Tensor) -> Mapping[str, Tensor]:
        """What else the loss needs of the images, without gradient; empty if nothing."""
        ...

    def loss_from_features(
        self, online: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Tensor]], labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As ``loss``, from the features per view of all of this process's images."""
        ...


class ClassifyingMethod(Method, Protocol):
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

    def build(self, config: Any, *, backbone: nn.Module, feature_dimension: int, num_classes: int) -> nn.Module: ...

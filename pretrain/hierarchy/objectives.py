"""Objectives of a space: its loss on the representations in it. Imports no torch when it is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from pretrain.metrics import Metric

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SpaceViews:
    """Inputs of one space's objective in one step.

    Parameters
    ----------
    online
        Per view, this process's representations in the space, shape (B, D); for a space on masked patches, the errors
        of its images, (B,).
    spaces
        Per view and space name, this process's representations in every online space, shape (B, D).
    target
        Per view and space name, the target network's representations of all processes, shape (world·B, D).
    labels
        Class indices (B,) or probabilities (B, classes).
    first_key
        Row of this process's first image among the gathered keys.
    """

    online: Sequence[Tensor]
    target: Sequence[Mapping[str, Tensor]]
    labels: Tensor
    first_key: int
    spaces: Sequence[Mapping[str, Tensor]] = ()


class Objective(Protocol):
    """A training objective on one space. ``weight`` multiplies the loss that ``loss`` returns.

    An objective that is a torch module may have state, such as a queue: it is registered with the method, saved and
    restored. Its ``after_step(step)``, if it has one, is called after each optimiser step. ``METRICS`` of the shipped
    objectives declares the scalars that they log; the ``METRICS`` of a method's module include them.
    """

    @property
    def weight(self) -> float: ...

    @property
    def target_space(self) -> str | None: ...

    def loss(self, views: SpaceViews) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the unweighted loss over all views, and scalars to log.

        The shipped objectives sum over the views; SimSiam's, as published, is the mean. For each view it is the mean
        over this process's images, as ``pretrain.method.Method.loss`` demands.
        """
        ...


@dataclass(frozen=True)
class InstanceContrast:
    """InfoNCE between each of two views and the keys of the other; two views of one image are a positive pair.

    Parameters
    ----------
    target_space
        The space of the target network that the keys come from.
    scale
        Multiplies each InfoNCE; MoCo-v3's official loss uses 2·temperature.
    """

    weight: float
    temperature: float
    target_space: str
    scale: float = 1.0
    METRICS: ClassVar = (
        Metric(name="contrastive_loss", label="InfoNCE loss", unit="nats", higher_is_better=False, decimals=3),
    )

    def loss(self, views: SpaceViews) -> tuple[Tensor, dict[str, Tensor]]:
        from pretrain.objectives import info_nce

        if len(views.online) != 2:
            raise ValueError(f"the contrastive loss needs 2 views, not {len(views.online)}")
        first, second = views.online
        first_keys, second_keys = (target[self.target_space] for target in views.target)
        total = self.scale * (
            info_nce(first, second_keys, self.temperature, views.first_key)
            + info_nce(second, first_keys, self.temperature, views.first_key)
        )
        return total, {"contrastive_loss": total.detach()}


@dataclass(frozen=True)
class ClassLabels:
    """Softmax cross-entropy of each view; an image and the prototype of its class are a positive pair."""

    weight: float
    label_smoothing: float = 0.0
    target_space: str | None = None
    METRICS: ClassVar = (
        Metric(
            name="class_loss", label="Cross-entropy of the class head", unit="nats", higher_is_better=False, decimals=3
        ),
        Metric(
            name="class_top1",
            label="Top-1 accuracy of the class head on training views",
            unit="%",
            higher_is_better=True,
        ),
    )

    def loss(self, views: SpaceViews) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        from pretrain.objectives import class_cross_entropy

        losses = [class_cross_entropy(logits, views.labels, self.label_smoothing) for logits in views.online]
        total = torch.stack(losses).sum()
        truth = views.labels if views.labels.ndim == 1 else views.labels.argmax(dim=1)
        hits = torch.cat([logits.detach().argmax(dim=1) == truth for logits in views.online])
        return total, {"class_loss": total.detach() / len(losses), "class_top1": 100 * hits.float().mean()}


@dataclass(frozen=True)
class MaskedPixels:
    """Mean absolute error of the hidden pixels of each view (J^mask of eq. 36).

    All images hide equally many pixels, so the mean of the images' errors is the mean over all hidden pixels.
    """

    weight: float
    target_space: str | None = None
    METRICS: ClassVar = (
        Metric(
            name="masked_loss",
            label="Mean absolute error of hidden pixels",
            unit="",
            higher_is_better=False,
            decimals=3,
        ),
    )

    def errors(self, predicted: Tensor, images: Tensor, mask: Tensor) -> Tensor:
        """Return each image's error, (B,), of predictions (B, patches, D) with ``mask`` (B, patches)."""
        from pretrain.objectives import masked_absolute_errors

        return masked_absolute_errors(predicted, images, mask)

    def loss(self, views: SpaceViews) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        losses = [errors.mean() for errors in views.online]
        total = torch.stack(losses).sum()
        return total, {"masked_loss": total.detach() / len(losses)}

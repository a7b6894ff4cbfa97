"""The base class of every method: a backbone, a loss, and hooks around each step that do nothing by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pretrain.batch import Batch, Place


@dataclass(frozen=True)
class Step:
    """One optimiser step.

    Parameters
    ----------
    index
        Steps done before this one, in [0, total).
    epoch
        Epochs done before this step, fractional: 1.5 is the middle of the second epoch.
    """

    index: int
    total: int
    epoch: float
    epochs: int

    @property
    def progress(self) -> float:
        """The share of the training that is done, in [0, 1)."""
        return self.index / self.total


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that the optimiser treats otherwise than the configuration says.

    Parameters
    ----------
    learning_rate_factor
        Multiplies the scheduled rate, as layer decay does.
    constant_learning_rate
        Keep the peak rate during the whole training, as SimSiam's predictor does.
    weight_decay
        Instead of the configuration's; None keeps that.
    always_decays
        Apply the configured decay even to parameters that are exempt by their shape or by the backbone's list, as DINO
        decays its class token.
    clipped
        Whether the gradients count in ``clip_norm`` and are shortened with it; MSN's prototypes are left out.
    """

    parameters: Sequence[nn.Parameter]
    learning_rate_factor: float = 1.0
    constant_learning_rate: bool = False
    weight_decay: float | None = None
    always_decays: bool = False
    clipped: bool = True


class Method(nn.Module):
    """A torch module that knows its loss. ``exported_backbone`` returns what a pretraining leaves.

    One rule holds for every method: loss, gradients and logged numbers do not depend on the number of processes, on
    micro-batches or on a restart. ``pretrain.testing.check_method`` checks it.

    State that a restart needs is held in parameters and buffers. A step calls, in this order: ``before_step``, the
    forward and backward passes, ``after_backward``, the optimiser, ``after_step``.
    """

    backbone: nn.Module

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise and detached scalars worth logging, each a mean over this process's share.

        The engine averages loss and gradients over the processes. A loss that couples images (negatives, batch
        statistics) gathers those of all processes (``pretrain.methods.parts.gather``).
        """
        raise NotImplementedError

    def before_step(self, step: Step) -> None:
        """Move a momentum target, set temperatures."""

    def after_backward(self, step: Step) -> None:
        """Look at or change gradients, which are averaged over the processes and unscaled, before they are clipped."""

    def after_step(self, step: Step) -> None:
        """Fill a queue, move a centre."""

    def exported_backbone(self) -> nn.Module:
        """Return the backbone that is saved and evaluated; DINO, iBOT and MSN return their teacher's."""
        return self.backbone

    def parameter_groups(self) -> list[ParameterGroup]:
        """Groups with their own rates or decays; all other parameters that train follow the configuration."""
        return []


class FeatureMethod(Method):
    """A method whose loss is a function of features that each image has by itself.

    On a backbone without batch normalisation it trains in micro-batches (``pretrain.engine.microbatch``) with the
    gradients of the whole batch. Features are tensors by name whose first dimension is the images': a feature vector,
    or a loss of the image's own.
    """

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        online = [self.features(images, batch.place(view)) for view, images in enumerate(batch.views)]
        target = [self.target_features(images, batch.place(view)) for view, images in enumerate(batch.views)]
        return self.loss_from_features(online, target, batch.labels)

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """The online network's, with gradient, of images (B, 3, H, W); called twice for the same ones, seeded alike.

        What it draws from torch's own generator changes with the size of a micro-batch; what it derives from ``place``
        (``pretrain.randomness.uniform_rows``) does not.
        """
        return {"backbone": self.backbone(images)}

    @torch.no_grad()
    def target_features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """What else the loss needs of the images, without gradient; empty if nothing, as for views it does not use."""
        return {}

    def loss_from_features(
        self, online: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Tensor]], labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As ``loss``, from the features per view of all of this process's images."""
        raise NotImplementedError


class InstanceMethod(FeatureMethod):
    """A feature method with an instance space, on which OPERA's class space can be stacked.

    The loss is split in two, so that both spaces share one pass through the heads. The method's module says
    ``INSTANCE_DIMENSION``: the name of the option that is the dimension of the space.
    """

    def instances(self, online: Sequence[Mapping[str, Tensor]]) -> list[Mapping[str, Tensor]]:
        """Per view, what the loss needs of the online network, with ``instance`` (B, D); empty for views without."""
        raise NotImplementedError

    def loss_from_instances(
        self, instances: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Tensor]], labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As ``loss_from_features``, from what ``instances`` returned."""
        raise NotImplementedError

    def loss_from_features(
        self, online: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Tensor]], labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return self.loss_from_instances(self.instances(online), target, labels)

"""The base class of every method: a backbone, a loss, and hooks around each step that do nothing by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pretrain.batch import Batch, Place


@dataclass(frozen=True)
class Step:
    """One optimiser step of ``total`` in ``epochs``.

    Parameters
    ----------
    index
        Steps before this one, in [0, total).
    epoch
        Epochs before this step, fractional: 1.5 is the middle of the second epoch.
    """

    index: int
    total: int
    epoch: float
    epochs: int

    @property
    def progress(self) -> float:
        """Return the share of the training that is done, in [0, 1)."""
        return self.index / self.total


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with a learning rate or weight decay of their own.

    Parameters
    ----------
    learning_rate_factor
        Multiplies the scheduled rate, e.g. for layer decay.
    constant_learning_rate
        Keep the peak rate during the whole training, as for SimSiam's predictor.
    weight_decay
        Replaces the configured decay; None keeps it.
    always_decays
        Apply the configured decay even to parameters that are exempt by their shape or by the backbone's list, as DINO
        decays its class token.
    clipped
        Whether ``clip_norm`` counts and scales these gradients; MSN's prototypes are left out.
    """

    parameters: Sequence[nn.Parameter]
    learning_rate_factor: float = 1.0
    constant_learning_rate: bool = False
    weight_decay: float | None = None
    always_decays: bool = False
    clipped: bool = True


class Method(nn.Module):
    """A torch module with a loss. ``exported_backbone`` returns the result of a pretraining.

    Loss, gradients and logged numbers must not depend on the number of processes, on micro-batches or on a restart.
    ``pretrain.testing.check_method`` checks this rule. State that a restart needs must be in parameters and buffers.

    A step calls, in this order: ``before_step``, the forward and backward passes, ``after_backward``, the optimiser,
    ``after_step``.
    """

    backbone: nn.Module

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the scalar to minimise and detached scalars to log, each a mean over this process's share.

        The engine averages loss and gradients over the processes. A loss that couples images (negatives, batch
        statistics) must gather those of all processes with ``pretrain.methods.parts.gather``.
        """
        raise NotImplementedError

    def before_step(self, step: Step) -> None:
        """Update a momentum target, a temperature and the like."""

    def after_backward(self, step: Step) -> None:
        """Read or change gradients. They are averaged over the processes, unscaled, and not clipped yet."""

    def after_step(self, step: Step) -> None:
        """Update a queue, a centre and the like."""

    def exported_backbone(self) -> nn.Module:
        """Return the backbone that is saved and evaluated; DINO, iBOT and MSN return their teacher's."""
        return self.backbone

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return groups with rates or decays of their own; all other trainable parameters use the configured ones."""
        return []


class FeatureMethod(Method):
    """A method whose loss is a function of per-image features.

    On a backbone without batch normalisation, micro-batches (``pretrain.engine.microbatch``) then give the gradients of
    the whole batch. Features are tensors by name with one row per image, such as feature vectors or per-image losses.
    """

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        online = [self.features(images, batch.place(view)) for view, images in enumerate(batch.views)]
        target = [self.target_features(images, batch.place(view)) for view, images in enumerate(batch.views)]
        return self.loss_from_features(online, target, batch.labels)

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """Return the online network's features of images (B, 3, H, W), with gradient.

        With micro-batches, this is called twice for the same images, with torch seeded alike. Draws from torch's
        generator depend on the size of the micro-batches; draws derived from ``place`` do not
        (``pretrain.randomness.uniform_rows``).
        """
        return {"backbone": self.backbone(images)}

    @torch.no_grad()
    def target_features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        """Return what else the loss needs of the images, without gradient; {} for views without such features."""
        return {}

    def loss_from_features(
        self, online: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Tensor]], labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what ``loss`` returns, from the features of all of this process's images, per view."""
        raise NotImplementedError


class InstanceMethod(FeatureMethod):
    """A feature method with an instance space, on which OPERA's class space can be stacked.

    The loss is split in two, so that both spaces share one pass through the heads. The method's module says
    ``INSTANCE_DIMENSION``: the name of the option that is the dimension of the space.
    """

    def instances(self, online: Sequence[Mapping[str, Tensor]]) -> list[Mapping[str, Tensor]]:
        """Return, per view, what the loss needs of the online network, with ``instance`` (B, D); {} if nothing."""
        raise NotImplementedError

    def loss_from_instances(
        self, instances: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Tensor]], labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what ``loss_from_features`` returns, from the result of ``instances``."""
        raise NotImplementedError

    def loss_from_features(
        self, online: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Tensor]], labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return self.loss_from_instances(self.instances(online), target, labels)

"""Hierarchies as data. A method says which spaces it has; ``module`` builds and trains them. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from pretrain.schedules import MomentumSchedule

if TYPE_CHECKING:
    from torch import Tensor

BACKBONE = "backbone"
"""The space below all others: the representation the downstream tasks use (Y in the paper)."""

CLASS = "class"
"""The space of class labels: its representations are logits."""

MASKED_PATCHES = "masked patches"
"""Patch tokens of a masked image (eq. 35). Only the per-image loss is returned from spaces above it, not the tokens."""


@dataclass(frozen=True)
class Head:
    """An MLP: ``layers`` linear layers, batch normalisation and ReLU between them.

    Parameters
    ----------
    last_batch_norm
        Ends with a batch normalisation without affine parameters, as MoCo-v3's projectors do; ``scale``: with a learnt
        scale and no shift, as SimCLR's.
    bias
        Whether the linear layers have one; MoCo-v3's and OPERA's have none.
    last_bias
        Whether the last linear layer has one, if that differs from ``bias``.
    hidden_batch_norm
        Whether hidden layers are batch-normalised; MoCo-v2's are not.
    """

    layers: int
    hidden_dimension: int
    output_dimension: int
    last_batch_norm: bool | Literal["scale"] = False
    bias: bool = False
    last_bias: bool | None = None
    hidden_batch_norm: bool = True


@dataclass(frozen=True)
class Masking:
    """How much of an image is hidden, in which units (SimMIM, arXiv 2111.09886, section 3.2).

    Parameters
    ----------
    ratio
        Share of the squares that are hidden, the count rounded up.
    square
        Side of a square in pixels: a multiple of the backbone's patch that divides the image.
    """

    ratio: float
    square: int


@dataclass(frozen=True)
class SpaceViews:
    """What an objective sees of its space in one step.

    Parameters
    ----------
    online
        Per view, this process's representations in the space, shape (B, D); its images' errors, (B,), if it lies
        on masked patches.
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
    """A supervision on one space. ``weight`` multiplies the sum over the views.

    One that is a torch module may hold state, such as a queue: it is registered with the method, saved and resumed. If
    it has ``after_step(step)``, that is called after each optimiser step.
    """

    @property
    def weight(self) -> float: ...

    @property
    def target_space(self) -> str | None: ...

    def loss(self, views: SpaceViews) -> tuple[Tensor, dict[str, Tensor]]:
        """The unweighted loss summed over the views, and scalars worth logging."""
        ...


@dataclass(frozen=True)
class InstanceContrast:
    """Positive pairs are two views of one image: InfoNCE between each view and the other view's keys.

    Parameters
    ----------
    target_space
        The target network's space that gives the keys.
    scale
        Multiplies each InfoNCE; MoCo-v3's official loss has 2·temperature.
    """

    weight: float
    temperature: float
    target_space: str
    scale: float = 1.0

    def loss(self, views: SpaceViews) -> tuple[Tensor, dict[str, Tensor]]:
        from pretrain.objectives import info_nce

        if len(views.online) != 2:
            raise ValueError(f"contrasting views needs two of them, not {len(views.online)}")
        first, second = views.online
        first_keys, second_keys = (target[self.target_space] for target in views.target)
        total = self.scale * (
            info_nce(first, second_keys, self.temperature, views.first_key)
            + info_nce(second, first_keys, self.temperature, views.first_key)
        )
        return total, {"contrastive_loss": total.detach()}


@dataclass(frozen=True)
class ClassLabels:
    """Positive pairs are an image and its class's prototype: softmax cross-entropy, one per view."""

    weight: float
    label_smoothing: float = 0.0
    target_space: str | None = None

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
    """Labels are the hidden pixels themselves: their mean absolute error, one per view (J^mask of eq. 36).

    The same number is hidden in every image, so the mean over all pixels is that of the images' means.
    """

    weight: float
    target_space: str | None = None

    def errors(self, predicted: Tensor, images: Tensor, mask: Tensor) -> Tensor:
        """Each image's own, (B,), of predictions (B, patches, D) for images (B, 3, H, W) with a mask (B, patches)."""
        from pretrain.objectives import masked_absolute_errors

        return masked_absolute_errors(predicted, images, mask)

    def loss(self, views: SpaceViews) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        losses = [errors.mean() for errors in views.online]
        total = torch.stack(losses).sum()
        return total, {"masked_loss": total.detach() / len(losses)}


@dataclass(frozen=True)
class Space:
    """One level: ``head`` maps into it from the space called ``below``; ``objective`` None means no supervision.

    Parameters
    ----------
    constant_learning_rate
        Keep the head at the peak rate during the whole training, as SimSiam's predictor.
    """

    name: str
    below: str
    head: Head
    objective: Objective | None = None
    constant_learning_rate: bool = False


@dataclass(frozen=True)
class Hierarchy:
    """Spaces in order, each above the backbone or above an earlier space.

    Parameters
    ----------
    target_momentum
        Base momentum of the target network; None when no objective needs one.
    momentum_schedule
        How that momentum rises to 1 over the training.
    target_moves
        Whether the target follows the online network before a step uses it (MoCo) or after the optimiser (BYOL).
    target_views, online_views
        Numbers of the views that the target and the online network see; None for all. Objectives get the online
        representations of these views alone.
    freeze_patch_projection
        Keep the patch projection of a ViT at its random initialisation (MoCo-v3, section 4.4).
    masking
        What is hidden from the spaces above ``MASKED_PATCHES``; None when there are none.
    """

    spaces: tuple[Space, ...]
    target_momentum: float | None = None
    momentum_schedule: MomentumSchedule = "cosine"
    target_moves: Literal["before the step", "after the step"] = "before the step"
    target_views: tuple[int, ...] | None = None
    online_views: tuple[int, ...] | None = None
    freeze_patch_projection: bool = False
    masking: Masking | None = None

    def __post_init__(self) -> None:
        known = {BACKBONE} | ({MASKED_PATCHES} if self.masking else set())
        for space in self.spaces:
            if space.below not in known:
                raise ValueError(f"space {space.name!r} lies on {space.below!r}, which is not below it")
            if space.name in known:
                raise ValueError(f"two spaces are called {space.name!r}")
            known.add(space.name)
        needs_target = any(space.objective and space.objective.target_space for space in self.spaces)
        if needs_target != (self.target_momentum is not None):
            raise ValueError("a target momentum and an objective with a target space go together")
        if self.masking and all(space.below != MASKED_PATCHES for space in self.spaces):
            raise ValueError("images are masked, but no space lies on their patches")
        for space in self.masked_spaces:
            if space.head.layers > 1 or space.head.last_batch_norm:
                raise ValueError(
                    f"space {space.name!r} normalises over the batch, but its images are judged one by one"
                )
            if not isinstance(space.objective, MaskedPixels) or any(other.below == space.name for other in self.spaces):
                raise ValueError(f"space {space.name!r} on masked patches must be one of hidden pixels, below no other")

    @property
    def masked_spaces(self) -> tuple[Space, ...]:
        """Those on ``MASKED_PATCHES``."""
        return tuple(space for space in self.spaces if space.below == MASKED_PATCHES)

    def path_to(self, name: str) -> tuple[Space, ...]:
        """The spaces from the backbone up to ``name``."""
        by_name = {space.name: space for space in self.spaces}
        path: list[Space] = []
        while name != BACKBONE:
            path.append(by_name[name])
            name = by_name[name].below
        return tuple(reversed(path))

    @property
    def target_spaces(self) -> tuple[Space, ...]:
        """The spaces the target network needs, in order."""
        names = {s.objective.target_space for s in self.spaces if s.objective and s.objective.target_space}
        needed = {space.name for name in names for space in self.path_to(name)}
        return tuple(space for space in self.spaces if space.name in needed)


def represent(
    features: Tensor, spaces: Sequence[Space], heads: Mapping[str, Callable[[Tensor], Tensor]]
) -> dict[str, Tensor]:
    """Features (B, width) mapped into every space above the backbone's: {space name: (B, D)}, its own included."""
    represented = {BACKBONE: features}
    for space in spaces:
        if space.below in represented:
            represented[space.name] = heads[space.name](represented[space.below])
    return represented

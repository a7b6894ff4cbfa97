"""Describes hierarchies as data: a method lists its spaces, and ``module`` builds them. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pretrain.hierarchy.objectives import MaskedPixels, Objective
from pretrain.schedules import MomentumSchedule

if TYPE_CHECKING:
    from torch import Tensor

BACKBONE = "backbone"
"""The space below all others: the representation that downstream tasks use (Y in the paper)."""

CLASS = "class"
"""The space of class labels: its representations are logits."""

MASKED_PATCHES = "masked patches"
"""Patch tokens of a masked image (eq. 35). Only the per-image loss is returned from spaces above it, not the tokens."""


@dataclass(frozen=True)
class Head:
    """An MLP: ``layers`` linear layers with batch normalisation and ReLU between them.

    Parameters
    ----------
    last_batch_norm
        End with a batch normalisation without affine parameters, as in MoCo-v3's projectors; ``scale``: with a learnt
        scale and no shift, as in SimCLR's.
    bias
        Give the linear layers a bias; those of MoCo-v3 and OPERA have none.
    last_bias
        Give the last linear layer a bias, if that differs from ``bias``.
    hidden_batch_norm
        Normalise hidden layers over the batch; MoCo-v2 does not.
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
    """Which share of an image is hidden, in squares of which size (SimMIM, arXiv 2111.09886, section 3.2).

    Parameters
    ----------
    ratio
        Share of the squares that are hidden; their number is rounded up.
    square
        Side of a square in pixels. It must be a multiple of the patch size and divide the image size.
    """

    ratio: float
    square: int


@dataclass(frozen=True)
class Space:
    """One level: ``head`` maps into it from the space named ``below``; without an objective it has no loss.

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
    """Spaces in order, each on the backbone or on an earlier space.

    Parameters
    ----------
    target_momentum
        Momentum of the target network at the start; None if no objective needs a target.
    momentum_schedule
        How the momentum rises to 1 during the training.
    target_moves
        Whether the target is updated before a step uses it (MoCo) or after the optimiser (BYOL).
    target_views, online_views
        Numbers of the views that the target and the online network see; None for all. Objectives get the online
        representations of these views only.
    freeze_patch_projection
        Keep a ViT's patch projection at its random initialisation (MoCo-v3, section 4.4).
    masking
        What is hidden from spaces on ``MASKED_PATCHES``; None if there are none.

    Raises
    ------
    ValueError
        The spaces do not fit together.
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
                raise ValueError(f"space {space.name!r}: below is {space.below!r}, which is no earlier space")
            if space.name in known:
                raise ValueError(f"space {space.name!r}: the name is used twice")
            known.add(space.name)
        needs_target = any(space.objective and space.objective.target_space for space in self.spaces)
        if needs_target != (self.target_momentum is not None):
            raise ValueError("target_momentum must be set if, and only if, an objective has a target_space")
        if self.masking and all(space.below != MASKED_PATCHES for space in self.spaces):
            raise ValueError(f"masking is set, but no space has below={MASKED_PATCHES!r}")
        for space in self.masked_spaces:
            if space.head.layers > 1 or space.head.last_batch_norm:
                raise ValueError(
                    f"space {space.name!r}: its head has batch normalisation, but a space on masked patches must treat "
                    "images one by one; use one linear layer without last_batch_norm"
                )
            if not isinstance(space.objective, MaskedPixels) or any(other.below == space.name for other in self.spaces):
                raise ValueError(f"space {space.name!r} on masked patches needs MaskedPixels, and no space above it")

    @property
    def masked_spaces(self) -> tuple[Space, ...]:
        """Return the spaces on ``MASKED_PATCHES``."""
        return tuple(space for space in self.spaces if space.below == MASKED_PATCHES)

    def path_to(self, name: str) -> tuple[Space, ...]:
        """Return the spaces from the backbone up to ``name``, which is included."""
        by_name = {space.name: space for space in self.spaces}
        path: list[Space] = []
        while name != BACKBONE:
            path.append(by_name[name])
            name = by_name[name].below
        return tuple(reversed(path))

    @property
    def target_spaces(self) -> tuple[Space, ...]:
        """Return the spaces that the target network needs, in order."""
        names = {s.objective.target_space for s in self.spaces if s.objective and s.objective.target_space}
        needed = {space.name for name in names for space in self.path_to(name)}
        return tuple(space for space in self.spaces if space.name in needed)


def represent(
    features: Tensor, spaces: Sequence[Space], heads: Mapping[str, Callable[[Tensor], Tensor]]
) -> dict[str, Tensor]:
    """Map features (B, width) into the backbone's space and every space above it: {space name: (B, D)}."""
    represented = {BACKBONE: features}
    for space in spaces:
        if space.below in represented:
            represented[space.name] = heads[space.name](represented[space.below])
    return represented

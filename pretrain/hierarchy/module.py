"""Building and training a hierarchy of spaces."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pretrain.backbones.families.drop_path import draw_paths_at
from pretrain.backbones.families.vit import freeze_patch_projection
from pretrain.batch import Place
from pretrain.distributed import gather, get_rank
from pretrain.hierarchy.masking import MaskedPatches
from pretrain.hierarchy.spaces import (
    BACKBONE,
    CLASS,
    MASKED_PATCHES,
    Head,
    Hierarchy,
    MaskedPixels,
    SpaceViews,
    represent,
)
from pretrain.method import InstanceMethod, ParameterGroup, Step
from pretrain.optim.target import follow
from pretrain.schedules import target_momentum


def build_head(head: Head, input_dimension: int) -> nn.Sequential:
    """The MLP ``head`` describes. Source: MoCo-v3's official ``builder.py`` for projectors and predictors."""
    layers: list[nn.Module] = []
    width = input_dimension
    for index in range(head.layers):
        last = index == head.layers - 1
        output = head.output_dimension if last else head.hidden_dimension
        bias = head.last_bias if last and head.last_bias is not None else head.bias
        layers.append(nn.Linear(width, output, bias=bias))
        if not last:
            layers += [nn.BatchNorm1d(output)] if head.hidden_batch_norm else []
            layers.append(nn.ReLU(inplace=True))
        elif head.last_batch_norm:
            layers.append(nn.BatchNorm1d(output, affine=False))
            layers += [Scale(output)] if head.last_batch_norm == "scale" else []
        width = output
    return nn.Sequential(*layers)


class Scale(nn.Module):
    """A learnt factor for each dimension, 1 at first."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dimension))

    def forward(self, rows: Tensor) -> Tensor:
        return rows * self.weight


class HierarchicalMethod(InstanceMethod):
    """A backbone, the heads of a hierarchy and, if an objective asks for keys, a momentum target of both.

    The target follows the online network's parameters before a step uses it, unless the hierarchy says after; its
    batch-normalisation statistics are its own.
    """

    def __init__(self, backbone: nn.Module, feature_dimension: int, hierarchy: Hierarchy) -> None:
        super().__init__()
        self.hierarchy = hierarchy
        self.backbone = backbone
        if hierarchy.freeze_patch_projection:
            freeze_patch_projection(backbone)
        dimensions = {BACKBONE: feature_dimension, MASKED_PATCHES: feature_dimension}
        self.heads = nn.ModuleDict()
        for space in hierarchy.spaces:
            self.heads[space.name] = build_head(space.head, dimensions[space.below])
            dimensions[space.name] = space.head.output_dimension
        self.objectives = nn.ModuleDict()
        for space in hierarchy.spaces:
            objective: object = space.objective
            if isinstance(objective, nn.Module):
                self.objectives[space.name] = objective
        self.masked_patches = MaskedPatches(feature_dimension, hierarchy.masking) if hierarchy.masking else None
        self.target_backbone: nn.Module | None = None
        if hierarchy.target_momentum is not None:
            self.target_backbone = copy.deepcopy(backbone).requires_grad_(False)
            self.target_heads = nn.ModuleDict(
                {space.name: copy.deepcopy(self.heads[space.name]) for space in hierarchy.target_spaces}
            ).requires_grad_(False)

    def before_step(self, step: Step) -> None:
        """Move the target towards the online network, unless it moves after the step."""
        if self.hierarchy.target_moves == "before the step":
            self._move_target(step)

    def _move_target(self, step: Step) -> None:
        if self.target_backbone is None:
            return
        assert self.hierarchy.target_momentum is not None
        momentum = target_momentum(step.progress, self.hierarchy.target_momentum, self.hierarchy.momentum_schedule)
        heads = [self.heads[name] for name in self.target_heads]
        follow([self.target_backbone, *self.target_heads.values()], [self.backbone, *heads], momentum)

    def after_step(self, step: Step) -> None:
        """Move the target if it moves now, and tell the objectives that keep state."""
        if self.hierarchy.target_moves == "after the step":
            self._move_target(step)
        for objective in self.objectives.values():
            if callable(after_step := getattr(objective, "after_step", None)):
                after_step(step)

    def parameter_groups(self) -> list[ParameterGroup]:
        """A group for each head that keeps its peak rate."""
        constant = [space.name for space in self.hierarchy.spaces if space.constant_learning_rate]
        return [ParameterGroup(list(self.heads[name].parameters()), constant_learning_rate=True) for name in constant]

    def features(self, images: Tensor, place: Place) -> dict[str, Tensor]:
        """In the backbone's space, of the online network: {"backbone": (B, width)}.

        And under the name of each space on masked patches, every image's error in it, (B,). Empty for views that the
        online network does not see.
        """
        if not _is_seen(place.view, self.hierarchy.online_views):
            return {}
        draw_paths_at(self.backbone, place)
        found: dict[str, Tensor] = {BACKBONE: self.backbone(images)}
        if self.masked_patches is not None:
            mask = self.masked_patches.draw(self.backbone, images, place)
            tokens = self.masked_patches(self.backbone, images, mask)
            for space in self.hierarchy.masked_spaces:
                assert isinstance(space.objective, MaskedPixels)
                found[space.name] = space.objective.errors(self.heads[space.name](tokens), images, mask)
        return found

    @torch.no_grad()
    def target_features(self, images: Tensor, place: Place) -> dict[str, Tensor]:
        """The same of the target network; empty without one, and for views that it does not see."""
        if self.target_backbone is None or not _is_seen(place.view, self.hierarchy.target_views):
            return {}
        return {BACKBONE: self.target_backbone(images)}

    def instances(self, online: Sequence[Mapping[str, Tensor]]) -> list[Mapping[str, Tensor]]:
        """Per view that the online network sees, its representations in all spaces by name."""
        return [{**view, **self.represent(view[BACKBONE])} if view else {} for view in online]

    def loss_from_instances(
        self, instances: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Tensor]], labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of all objectives (paper eq. 9), and scalars worth logging."""
        keys = [self._gathered_keys(view[BACKBONE]) if view else {} for view in target] if self.target_backbone else []
        total = torch.zeros((), device=labels.device)
        logs: dict[str, Tensor] = {}
        for space in self.hierarchy.spaces:
            if space.objective is None:
                continue
            views = SpaceViews(
                online=[of_view[space.name].float() for of_view in instances if of_view],
                target=keys,
                labels=labels,
                first_key=get_rank() * len(labels),
                spaces=instances,
            )
            loss, scalars = space.objective.loss(views)
            total = total + space.objective.weight * loss
            logs |= scalars
        return total, logs

    def represent(self, features: Tensor) -> dict[str, Tensor]:
        """The backbone's features (B, width) in every space of the online network above it: {space name: (B, D)}."""
        return represent(features, self.hierarchy.spaces, dict(self.heads.items()))

    def class_logits(self, images: Tensor) -> Tensor | None:
        """Images (B, 3, H, W) in the online network's class space, (B, classes); None without one."""
        return self.represent(self.backbone(images))[CLASS] if CLASS in self.heads else None

    @torch.no_grad()
    def _gathered_keys(self, features: Tensor) -> dict[str, Tensor]:
        heads = dict(self.target_heads.items())
        local = represent(features, self.hierarchy.target_spaces, heads)
        return {name: gather(keys.float()) for name, keys in local.items() if name in heads}


def _is_seen(view: int, seen: tuple[int, ...] | None) -> bool:
    return seen is None or view in seen

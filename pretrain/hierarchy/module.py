"""Builds the modules of a hierarchy of spaces and computes its loss."""

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
from pretrain.hierarchy.objectives import MaskedPixels, SpaceViews
from pretrain.hierarchy.spaces import BACKBONE, CLASS, MASKED_PATCHES, Head, Hierarchy, represent
from pretrain.method import InstanceMethod, ParameterGroup, Step
from pretrain.optim.target import follow
from pretrain.schedules import target_momentum


def build_head(head: Head, input_dimension: int) -> nn.Sequential:
    """Return the MLP that ``head`` describes, built like the projectors in MoCo-v3's official ``builder.py``."""
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
    """A backbone, the heads of a hierarchy and, if an objective needs keys, a momentum target of both.

    The target's parameters are updated at the start of each step or, if the hierarchy says so, after it. Its batch
    normalisations have statistics of their own.
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
        """Update the target's parameters, unless they are updated after the step."""
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
        """Update the target's parameters if it is time, and call ``after_step`` of the objectives that have it."""
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
        """Return the online backbone's features, {"backbone": (B, width)}.

        For each space on masked patches, also return the error of every image, (B,), under the space's name. For views
        that the online network does not see, return {}.
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
        """Return the target backbone's features; {} without a target, or for views that it does not see."""
        if self.target_backbone is None or not _is_seen(place.view, self.hierarchy.target_views):
            return {}
        return {BACKBONE: self.target_backbone(images)}

    def instances(self, online: Sequence[Mapping[str, Tensor]]) -> list[Mapping[str, Tensor]]:
        """Return, per view, the representations in all spaces by name; {} for views that the online network skips."""
        return [{**view, **self.represent(view[BACKBONE])} if view else {} for view in online]

    def loss_from_instances(
        self, instances: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Tensor]], labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of all objectives (paper eq. 9), and scalars to log."""
        keys = [self._gather_keys(view[BACKBONE]) if view else {} for view in target] if self.target_backbone else []
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
        """Map features (B, width) into the backbone's space and those above it, online: {space name: (B, D)}."""
        return represent(features, self.hierarchy.spaces, dict(self.heads.items()))

    def class_logits(self, images: Tensor) -> Tensor | None:
        """Return the logits (B, classes) of images (B, 3, H, W); None without a class space."""
        return self.represent(self.backbone(images))[CLASS] if CLASS in self.heads else None

    @torch.no_grad()
    def _gather_keys(self, features: Tensor) -> dict[str, Tensor]:
        """Return all processes' target features (B, width) in the target's spaces: {space name: (world·B, D)}."""
        heads = dict(self.target_heads.items())
        local = represent(features, self.hierarchy.target_spaces, heads)
        return {name: gather(keys.float()) for name, keys in local.items() if name in heads}


def _is_seen(view: int, seen: tuple[int, ...] | None) -> bool:
    return seen is None or view in seen

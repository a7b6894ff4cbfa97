"""Building and training a hierarchy of spaces."""

from __future__ import annotations

import copy
from itertools import zip_longest

import torch
from torch import Tensor, nn

from pretrain.batch import Batch
from pretrain.distributed import gather, get_rank
from pretrain.hierarchy.masking import MaskedPatches
from pretrain.hierarchy.spaces import BACKBONE, MASKED_PATCHES, Head, Hierarchy, SpaceViews, represent
from pretrain.schedules import target_momentum


def build_head(head: Head, input_dimension: int) -> nn.Sequential:
    """The MLP ``head`` describes. Source: MoCo-v3's official ``builder.py`` for projectors and predictors."""
    layers: list[nn.Module] = []
    width = input_dimension
    for index in range(head.layers):
        last = index == head.layers - 1
        output = head.output_dimension if last else head.hidden_dimension
        layers.append(nn.Linear(width, output, bias=head.bias))
        if not last:
            layers += [nn.BatchNorm1d(output), nn.ReLU(inplace=True)]
        elif head.last_batch_norm:
            layers.append(nn.BatchNorm1d(output, affine=False))
        width = output
    return nn.Sequential(*layers)


class HierarchicalMethod(nn.Module):
    """A backbone, the heads of a hierarchy and, if an objective asks for keys, a momentum target of both.

    The target follows the online network's parameters before they are used in a step; its batch-normalisation
    statistics are its own.
    """

    def __init__(self, backbone: nn.Module, feature_dimension: int, hierarchy: Hierarchy) -> None:
        super().__init__()
        self.hierarchy = hierarchy
        self.backbone = backbone
        if not hierarchy.freeze_stem:
            self.backbone.requires_grad_(True)
        dimensions = {BACKBONE: feature_dimension, MASKED_PATCHES: feature_dimension}
        self.heads = nn.ModuleDict()
        for space in hierarchy.spaces:
            self.heads[space.name] = build_head(space.head, dimensions[space.below])
            dimensions[space.name] = space.head.output_dimension
        self.masked_patches = MaskedPatches(feature_dimension, hierarchy.masking) if hierarchy.masking else None
        self.target_backbone: nn.Module | None = None
        if hierarchy.target_momentum is not None:
            self.target_backbone = copy.deepcopy(backbone).requires_grad_(False)
            self.target_heads = nn.ModuleDict(
                {space.name: copy.deepcopy(self.heads[space.name]) for space in hierarchy.target_spaces}
            ).requires_grad_(False)

    def on_step(self, progress: float) -> None:
        """Move the target towards the online network; ``progress`` in [0, 1] sets its momentum."""
        if self.target_backbone is None:
            return
        assert self.hierarchy.target_momentum is not None
        momentum = target_momentum(progress, self.hierarchy.target_momentum)
        online: list[Tensor] = [*self.backbone.parameters()]
        target: list[Tensor] = [*self.target_backbone.parameters()]
        for name, head in self.target_heads.items():
            online += self.heads[name].parameters()
            target += head.parameters()
        with torch.no_grad():
            torch._foreach_mul_(target, momentum)
            torch._foreach_add_(target, [p.detach() for p in online], alpha=1 - momentum)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The same as ``loss``; DistributedDataParallel hooks into forward."""
        return self.loss(batch)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of all objectives (paper eq. 9), and scalars worth logging."""
        masks = self.masked_patches.draw(batch, self.backbone) if self.masked_patches else ()
        online = [self.represent(images, mask) for images, mask in zip_longest(batch.views, masks)]
        target = [self._gathered_keys(images) for images in batch.views] if self.target_backbone else []
        total = batch.views[0].new_zeros((), dtype=torch.float32)
        logs: dict[str, Tensor] = {}
        for space in self.hierarchy.spaces:
            if space.objective is None:
                continue
            views = SpaceViews(
                online=[representations[space.name].float() for representations in online],
                target=target,
                labels=batch.labels,
                first_key=get_rank() * len(batch.labels),
                images=batch.views,
                masks=masks,
            )
            loss, scalars = space.objective.loss(views)
            total = total + space.objective.weight * loss
            logs |= scalars
        return total, logs

    def represent(self, images: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Images (B, 3, H, W) in the spaces of the online network: {space name: (B, D)}.

        With a ``mask`` (B, patches) also in those that see them partly hidden.
        """
        return represent(self.features(images, mask), self.hierarchy.spaces, dict(self.heads.items()))

    def features(self, images: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """What the lowest spaces lie on: the backbone's output for the images and, with a mask, for what it leaves."""
        found = {BACKBONE: self.backbone(images)}
        if self.masked_patches is not None and mask is not None:
            found[MASKED_PATCHES] = self.masked_patches(self.backbone, images, mask)
        return found

    @torch.no_grad()
    def _gathered_keys(self, images: Tensor) -> dict[str, Tensor]:
        assert self.target_backbone is not None
        heads = dict(self.target_heads.items())
        local = represent({BACKBONE: self.target_backbone(images)}, self.hierarchy.target_spaces, heads)
        return {name: gather(keys.float()) for name, keys in local.items() if name in heads}

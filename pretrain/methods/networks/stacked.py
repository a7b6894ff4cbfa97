"""OPERA's class space on another method's instance space, as a torch module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.batch import Place
from pretrain.hierarchy import ClassLabels, Head
from pretrain.hierarchy.module import build_head
from pretrain.hierarchy.objectives import SpaceViews
from pretrain.hierarchy.spaces import BACKBONE, CLASS
from pretrain.method import FeatureMethod, InstanceMethod, ParameterGroup, Step

INSTANCE = "instance"


class StackedMethod(FeatureMethod):
    """``below``'s loss plus cross-entropy in a class space on its instance space, see ``methods/_class_space.py``."""

    def __init__(self, below: nn.Module, config: Any, instance_dimension: int, num_classes: int) -> None:
        super().__init__()
        if not isinstance(below, InstanceMethod):
            raise TypeError(f"{type(below).__name__} must be an InstanceMethod, because its module has one's dimension")
        self.below = below
        self.config = config
        head = Head(config.class_layers, config.class_hidden_dimension, num_classes)
        self.heads = nn.ModuleDict({CLASS: build_head(head, instance_dimension)})

    @property
    def backbone(self) -> nn.Module:  # type: ignore[override]
        return self.below.backbone

    def exported_backbone(self) -> nn.Module:
        return self.below.exported_backbone()

    def parameter_groups(self) -> list[ParameterGroup]:
        return self.below.parameter_groups()

    def before_step(self, step: Step) -> None:
        self.below.before_step(step)

    def after_backward(self, step: Step) -> None:
        self.below.after_backward(step)

    def after_step(self, step: Step) -> None:
        self.below.after_step(step)

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        return self.below.features(images, place)

    @torch.no_grad()
    def target_features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        return self.below.target_features(images, place)

    def loss_from_features(
        self, online: Sequence[Mapping[str, Tensor]], target: Sequence[Mapping[str, Tensor]], labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of both terms, and the scalars that both log."""
        instances = self.below.instances(online)
        loss, logs = self.below.loss_from_instances(instances, target, labels)
        logits = [self.heads[CLASS](view[INSTANCE]).float() for view in instances if view]
        seen = SpaceViews(online=logits, target=(), labels=labels, first_key=0)
        class_loss, class_logs = ClassLabels(weight=1.0).loss(seen)
        total = self.config.instance_weight * loss + self.config.class_weight * class_loss / len(logits)
        return total, {**logs, **class_logs}

    def represent(self, features: Tensor) -> dict[str, Tensor]:
        """Return features (B, width) in every online space of the method below, and in the class space."""
        (below,) = self.below.instances([{BACKBONE: features}])
        return {**below, CLASS: self.heads[CLASS](below[INSTANCE])}

    def class_logits(self, images: Tensor) -> Tensor:
        """Return the logits (B, classes) of images (B, 3, H, W)."""
        (view,) = self.below.instances([self.below.features(images, Place())])
        logits: Tensor = self.heads[CLASS](view[INSTANCE])
        return logits

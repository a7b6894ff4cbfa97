"""DINO's student, teacher and loss; its options, ``config``, are ``pretrain.methods.dino.Config``."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.backbones.families.drop_path import draw_paths_at, set_drop_path
from pretrain.batch import Place
from pretrain.method import FeatureMethod, ParameterGroup, Step
from pretrain.methods.parts.collapse import feature_std
from pretrain.methods.parts.distillation import (
    Centre,
    DistillationHead,
    initialise_class_token,
    teacher_temperature,
    tokens_that_decay,
)
from pretrain.methods.parts.requirements import GLOBAL_VIEWS
from pretrain.optim.target import follow
from pretrain.schedules import target_momentum

Features = Sequence[Mapping[str, Tensor]]


class DINO(FeatureMethod):
    """The student trains; the teacher follows it after each step and has no drop path."""

    def __init__(self, config: Any, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        initialise_class_token(backbone)
        self.head = DistillationHead(
            width, config.hidden_dimension, config.bottleneck_dimension, config.output_dimension
        )
        self.teacher_backbone = copy.deepcopy(backbone).requires_grad_(False)
        self.teacher_head = copy.deepcopy(self.head).requires_grad_(False)
        set_drop_path(backbone, config.drop_path_rate)
        self.centre = Centre(config.output_dimension, config.centre_momentum)
        self.temperature = config.first_teacher_temperature

    def exported_backbone(self) -> nn.Module:
        return self.teacher_backbone

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(tokens_that_decay(self.backbone), always_decays=True)]

    def before_step(self, step: Step) -> None:
        """Set the teacher's temperature, which changes with the epoch."""
        self.temperature = teacher_temperature(
            int(step.epoch),
            first=self.config.first_teacher_temperature,
            last=self.config.teacher_temperature,
            warmup_epochs=self.config.teacher_temperature_warmup_epochs,
        )

    def after_backward(self, step: Step) -> None:
        """Keep the prototypes as they are in the first epochs."""
        if step.epoch < self.config.frozen_prototype_epochs:
            self.head.cancel_last_gradient()

    def after_step(self, step: Step) -> None:
        """Move the teacher towards the student."""
        momentum = target_momentum(step.progress, self.config.target_momentum)
        follow([self.teacher_backbone, self.teacher_head], [self.backbone, self.head], momentum)

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        draw_paths_at(self.backbone, place)
        return {"backbone": self.backbone(images)}

    @torch.no_grad()
    def target_features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        return {"backbone": self.teacher_backbone(images)} if place.view < GLOBAL_VIEWS else {}

    def loss_from_features(
        self, online: Features, target: Features, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        loss = self.class_token_loss(online, target)
        logs = {"distillation_loss": loss.detach(), "feature_std": feature_std(target[0]["backbone"])}
        return loss, logs

    def class_token_loss(self, online: Features, target: Features) -> Tensor:
        """Return the cross-entropy averaged over all pairs of a global crop and another crop; move the centre after."""
        logits = self.head(torch.cat([view["backbone"] for view in online]))
        students = F.log_softmax(logits / self.config.student_temperature, dim=1).chunk(len(online))
        with torch.no_grad():
            seen = self.teacher_head(torch.cat([view["backbone"] for view in target[:GLOBAL_VIEWS]]))
            teachers = self.centre.probabilities(seen, self.temperature).chunk(GLOBAL_VIEWS)
        losses = [
            -(teacher * student).sum(dim=1).mean()
            for seen_by_teacher, teacher in enumerate(teachers)
            for view, student in enumerate(students)
            if view != seen_by_teacher
        ]
        self.centre.move(seen)
        return torch.stack(losses).mean()

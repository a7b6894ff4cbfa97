"""Small methods that follow the rule of ``pretrain.testing``, and others that each break it in one way."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain.batch import Place
from pretrain.config import Integer, Strict
from pretrain.hierarchy import BACKBONE, Head, Hierarchy, Space
from pretrain.hierarchy.module import HierarchicalMethod
from pretrain.hierarchy.objectives import SpaceViews
from pretrain.method import FeatureMethod, ParameterGroup, Step
from pretrain.methods.interface import RunFacts
from pretrain.methods.parts.gather import gather, gather_with_gradient, mean_of_rows, rows_of_this_process
from pretrain.methods.parts.queue import Queue
from pretrain.optim.target import follow
from pretrain.randomness import uniform_rows
from pretrain.schedules import cosine

Features = Sequence[Mapping[str, Tensor]]
Result = tuple[Tensor, dict[str, Tensor]]


class Config(Strict):
    temperature: float = 0.2
    dimension: Integer = 8


class SimCLR(FeatureMethod):
    """NT-Xent (Chen et al. 2020), the mean over both views. The class is its own method module."""

    Config = Config
    gathers = True

    def __init__(self, config: Config, backbone: nn.Module, width: int, run: RunFacts) -> None:
        super().__init__()
        self.backbone, self.run, self.temperature = backbone, run, config.temperature
        self.projector = nn.Sequential(
            nn.Linear(width, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, config.dimension, bias=False)
        )

    @classmethod
    def build(
        cls, config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts
    ) -> nn.Module:
        return cls(config, backbone, feature_dimension, run)

    def project(self, view: Mapping[str, Tensor]) -> Tensor:
        return F.normalize(self.projector(view["backbone"]).float(), dim=1)

    def gathered(self, rows: Tensor) -> Tensor:
        return gather_with_gradient(rows)

    def loss_from_features(self, online: Features, target: Features, labels: Tensor) -> Result:
        first, second = (self.project(view) for view in online)
        loss = self.contrast(first, second) + self.contrast(second, first)
        return loss / 2, {"contrastive_loss": loss.detach() / 2}

    def contrast(self, queries: Tensor, positives: Tensor) -> Tensor:
        """Each query against its positive, all other positives and all other queries."""
        own = torch.arange(len(queries)) + (rows_of_this_process(len(queries)).start if self.gathers else 0)
        alike = queries @ self.gathered(queries).T
        alike = alike.scatter(1, own[:, None], -torch.inf)
        logits = torch.cat([queries @ self.gathered(positives).T, alike], dim=1) / self.temperature
        return F.cross_entropy(logits, own)


class MoCo(SimCLR):
    """MoCo's queue of keys of a momentum target (He et al. 2020)."""

    def __init__(self, config: Config, backbone: nn.Module, width: int, run: RunFacts) -> None:
        super().__init__(config, backbone, width, run)
        self.key_backbone = copy.deepcopy(backbone).requires_grad_(False)
        self.key_projector = copy.deepcopy(self.projector).requires_grad_(False)
        self.queue = Queue(2 * run.global_batch_size, config.dimension)

    def before_step(self, step: Step) -> None:
        follow([self.key_backbone, self.key_projector], [self.backbone, self.projector], 0.9)

    @torch.no_grad()
    def target_features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        return {"backbone": self.key_backbone(images)} if place.view == 1 else {}

    def loss_from_features(self, online: Features, target: Features, labels: Tensor) -> Result:
        queries = self.project(online[0])
        with torch.no_grad():
            keys = F.normalize(self.key_projector(target[1]["backbone"]).float(), dim=1)
        logits = torch.cat([(queries * keys).sum(dim=1, keepdim=True), queries @ self.queue().T], dim=1)
        loss = F.cross_entropy(logits / self.temperature, torch.zeros(len(logits), dtype=torch.long))
        self.enqueue(keys)
        return loss, {"contrastive_loss": loss.detach()}

    def enqueue(self, keys: Tensor) -> None:
        self.queue.put(gather(keys))


class QueueContrast(nn.Module):
    """MoCo's loss as an objective of a hierarchy: its queue is state."""

    weight, target_space = 1.0, "projection"

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.queue = Queue(size, dimension)
        self.keys = torch.empty(0)

    def loss(self, views: SpaceViews) -> Result:
        queries = F.normalize(views.online[0], dim=1)
        self.keys = F.normalize(views.target[1]["projection"], dim=1)
        own = self.keys[views.first_key : views.first_key + len(queries)]
        logits = torch.cat([(queries * own).sum(dim=1, keepdim=True), queries @ self.queue().T], dim=1)
        loss = F.cross_entropy(logits / 0.2, torch.zeros(len(logits), dtype=torch.long))
        return loss, {"contrastive_loss": loss.detach()}

    def after_step(self, step: Step) -> None:
        self.queue.put(self.keys)


class QueueHierarchy:
    """A hierarchy whose objective has state, and whose target network sees the second view alone."""

    Config = Config

    @staticmethod
    def build(
        config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts
    ) -> nn.Module:
        contrast = QueueContrast(2 * run.global_batch_size, config.dimension)
        space = Space("projection", BACKBONE, Head(2, 16, config.dimension), contrast)
        return HierarchicalMethod(backbone, feature_dimension, Hierarchy((space,), 0.9, target_views=(1,)))


class DINO(FeatureMethod):
    """Self-distillation with small crops, a centre, schedules and a last layer that waits (Caron et al. 2021)."""

    Config = Config
    centre: Tensor

    def __init__(self, config: Config, backbone: nn.Module, width: int, run: RunFacts) -> None:
        super().__init__()
        self.backbone, self.run = backbone, run
        self.head = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, config.dimension))
        self.teacher = copy.deepcopy(nn.Sequential(backbone, self.head)).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(config.dimension))
        self.global_views = [view for view, size in enumerate(run.view_sizes) if size == run.image_size]
        self.temperature = 0.04

    @classmethod
    def build(
        cls, config: Config, *, backbone: nn.Module, feature_dimension: int, num_classes: int, run: RunFacts
    ) -> nn.Module:
        return cls(config, backbone, feature_dimension, run)

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup([self.head[-1].weight], constant_learning_rate=True, weight_decay=0.0)]

    def before_step(self, step: Step) -> None:
        self.temperature = cosine(step.progress, 0.04, 0.07)

    def after_backward(self, step: Step) -> None:
        if step.epoch < 1:
            self.head[-1].weight.grad = None

    def after_step(self, step: Step) -> None:
        follow([self.teacher], [self.backbone, self.head], cosine(step.progress, 0.9, 1.0))

    @torch.no_grad()
    def target_features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        return {"logits": self.teacher(images)} if place.view in self.global_views else {}

    def loss_from_features(self, online: Features, target: Features, labels: Tensor) -> Result:
        students = [F.log_softmax(self.head(view["backbone"]) / 0.1, dim=1) for view in online]
        teachers = [target[view]["logits"] for view in self.global_views]
        losses = [
            -(F.softmax((teacher - self.centre) / self.temperature, dim=1) * student).sum(dim=1).mean()
            for view, teacher in zip(self.global_views, teachers, strict=True)
            for other, student in enumerate(students)
            if other != view
        ]
        loss = torch.stack(losses).mean()
        with torch.no_grad():
            self.centre.lerp_(mean_of_rows(torch.cat(teachers)), 0.1)
        return loss, {"distillation_loss": loss.detach()}


class Noisy(SimCLR):
    """Noise on the features, drawn for each image from its place."""

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        found: Tensor = self.backbone(images)
        rows = range(place.first_row, place.first_row + len(images))
        noise = torch.from_numpy(uniform_rows(rows, found.shape[1], (place.draw_seed, place.view)))
        return {"backbone": found + noise.to(found.dtype)}


class LocalNegatives(SimCLR):
    """SimCLR written naively: a process contrasts its own images alone."""

    gathers = False

    def gathered(self, rows: Tensor) -> Tensor:
        return rows


class GatheredWithoutGradient(SimCLR):
    """Gathers without gradient and puts its own rows back: the loss is right, the gradient is not."""

    def gathered(self, rows: Tensor) -> Tensor:
        everyone = gather(rows).clone()
        everyone[rows_of_this_process(len(rows))] = rows
        return everyone


class SummedLoss(SimCLR):
    def contrast(self, queries: Tensor, positives: Tensor) -> Tensor:
        return super().contrast(queries, positives) * len(queries)


class LocalMetric(SimCLR):
    def loss_from_features(self, online: Features, target: Features, labels: Tensor) -> Result:
        loss, _ = super().loss_from_features(online, target, labels)
        return loss, {"feature_std": online[0]["backbone"].detach().std(dim=0).mean()}


class LocalQueue(MoCo):
    def enqueue(self, keys: Tensor) -> None:
        self.queue.put(keys)


class ForgottenQueue(MoCo):
    """Its queue is an attribute: a restart begins with another one."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rows = self.queue.rows.clone()

    def enqueue(self, keys: Tensor) -> None:
        self.rows = torch.cat([self.rows[len(gather(keys)) :], gather(keys)])
        self.queue.rows.copy_(self.rows)


class ForgottenCentre(DINO):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.register_buffer("centre", self.centre, persistent=False)


class TemperatureOfAnEpoch(SimCLR):
    """Sets its temperature when an epoch starts: a restart within the epoch misses that."""

    def before_step(self, step: Step) -> None:
        if step.epoch == int(step.epoch):
            self.temperature = 0.2 / (1 + step.epoch)


class DrawsFromTheGenerator(SimCLR):
    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        found: Tensor = self.backbone(images)
        return {"backbone": found + torch.randn_like(found)}


class CoupledFeatures(SimCLR):
    """Centres the features over the images beside them, which in a micro-batch are few."""

    def features(self, images: Tensor, place: Place) -> Mapping[str, Tensor]:
        found: Tensor = self.backbone(images)
        return {"backbone": found * (1 + mean_of_rows(found.detach()))}

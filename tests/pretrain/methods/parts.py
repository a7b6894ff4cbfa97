"""What tests of several methods share: methods around small or full-size backbones, and representations in double."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.backbones.lookup import find_backbone
from pretrain.batch import Batch
from pretrain.hierarchy.module import HierarchicalMethod
from pretrain.hierarchy.objectives import SpaceViews
from pretrain.methods.interface import RunFacts
from pretrain.methods.lookup import find_method

SMALL = {"mlp_dimension": 24, "embedding_dimension": 8, "predictor_dimension": 6, "queue_size": 24}
RUN = RunFacts(epochs=2, steps_per_epoch=4, global_batch_size=12, image_size=16, view_sizes=(16, 16))
NO_LABELS = torch.zeros(6, dtype=torch.long)


def build(name: str, backbone: str | nn.Module = "tiny_resnet", width: int = 0, **options: Any) -> HierarchicalMethod:
    """The method with its default options but ``options``, in training mode."""
    torch.manual_seed(0)
    module: Any = find_method(name)
    if isinstance(backbone, str):
        found = find_backbone(backbone)
        backbone, width = found.build(16), found.INFO.width
    config = module.Config.model_validate(options)
    built: HierarchicalMethod = module.build(
        config, backbone=backbone, feature_dimension=width, num_classes=4, run=RUN
    ).train()
    return built


def build_small(name: str, backbone: str = "tiny_resnet", **options: Any) -> HierarchicalMethod:
    fields = find_method(name).Config.model_fields
    groups = {"batch_norm_group": 4} if "batch_norm_group" in fields else {}
    return build(name, backbone, **{k: v for k, v in SMALL.items() if k in fields} | groups | options)


def batch(seed: int = 0, size: int = 12) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    views = torch.randn(2, size, 3, 16, 16, generator=generator)
    labels = torch.randint(0, 4, (size,), generator=generator)
    return Batch(tuple(views), labels, torch.arange(size), draw_seed=seed)


def two_views(seed: int = 0, size: int = 6, dimension: int = 5) -> tuple[Tensor, Tensor]:
    """Representations of two views in double precision, with gradient."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, size, dimension, generator=generator, dtype=torch.float64)
    return first.requires_grad_(), second.requires_grad_()


def seen(
    online: Sequence[Tensor],
    target: Sequence[Mapping[str, Tensor]] = (),
    spaces: Sequence[Mapping[str, Tensor]] = (),
    labels: Tensor = NO_LABELS,
) -> SpaceViews:
    """What an objective sees of them in one process."""
    return SpaceViews(online=online, target=target, labels=labels, first_key=0, spaces=spaces)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def assert_same_value_and_gradients(loss: Tensor, expected: Tensor, leaves: Sequence[Tensor]) -> None:
    """To 1e-9, relative: both are sums in double precision."""
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-12)
    found = torch.autograd.grad(loss, leaves, retain_graph=True)
    for gradient, wanted in zip(found, torch.autograd.grad(expected, leaves), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-8, atol=1e-11)


def train_a_step(method: HierarchicalMethod, seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss with gradients; the optimiser is left out."""
    method.zero_grad()
    loss, logs = method.loss(batch(seed))
    loss.backward()
    return loss, logs

"""Builds methods small and at full size, and compares losses and gradients with formulas written out in a test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.backbones.lookup import find_backbone
from pretrain.config import OptimizerConfig
from pretrain.methods.interface import RunFacts
from pretrain.methods.lookup import find_method
from pretrain.optim import build_optimizer

MULTI_CROP = ({"crop_scale": (0.4, 1.0), "count": 2}, {"crop_scale": (0.05, 0.4), "count": 3, "size": 8})
"""Views of ``PretrainConfig``: two of 16 pixels, three of 8."""
ONE_VIEW = ({"crop_scale": (0.4, 1.0)},)


def built(method: str, options: Mapping[str, Any], backbone: str | nn.Module = "tiny_vit", size: int = 16) -> Any:
    """Return a method from seed 0 on a backbone by name, or on a module of width 6."""
    torch.manual_seed(0)
    module = find_method(method)
    named = isinstance(backbone, str)
    return module.build(
        module.Config.model_validate(options),
        backbone=find_backbone(backbone).build(size) if named else backbone,
        feature_dimension=find_backbone(backbone).INFO.width if named else 6,
        num_classes=10,
        run=RunFacts(2, 4, 64, size, (size, size)),
    )


def random_features(views: int, rows: int, width: int = 6, seed: int = 1) -> list[dict[str, Tensor]]:
    """Return double-precision features that require a gradient, {"backbone": (rows, width)} for each view."""
    drawn = torch.randn(views, rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return [{"backbone": view.clone().requires_grad_()} for view in drawn]


def count(module: nn.Module, *, trained: bool = False) -> int:
    """Return the number of parameters, or of those that train."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def assert_same_gradients(ours: Tensor, theirs: Tensor, leaves: Iterable[tuple[str, Tensor]]) -> None:
    """Compare two losses, and their gradients with respect to every named leaf that trains, to 1e-9."""
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    trained = [(name, leaf) for name, leaf in leaves if leaf.requires_grad]
    found = torch.autograd.grad(ours, [leaf for _, leaf in trained], retain_graph=True, allow_unused=True)
    expected = torch.autograd.grad(theirs, [leaf for _, leaf in trained], retain_graph=True, allow_unused=True)
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in expected)
    for (name, leaf), one, other in zip(trained, found, expected, strict=True):
        one, other = (torch.zeros_like(leaf) if gradient is None else gradient for gradient in (one, other))
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-11, msg=lambda text, name=name: f"{name}: {text}")


def decay_of_each(method: Any) -> dict[str, float]:
    """Return each trained parameter's weight decay under AdamW with decay 0.1 that spares biases."""
    config = OptimizerConfig(
        name="adamw", base_learning_rate=1e-3, weight_decay=0.1, warmup_epochs=0, decay_one_dimensional=False
    )
    groups = build_optimizer(config, method, torch.device("cpu")).param_groups
    decays = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    return {name: decays[id(p)] for name, p in method.named_parameters() if p.requires_grad}

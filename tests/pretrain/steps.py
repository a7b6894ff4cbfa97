"""Small methods and batches for tests of training steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from pretrain.backbones.lookup import find_backbone
from pretrain.compute import ComputeOptions
from pretrain.config import PretrainConfig
from pretrain.engine import pretrain
from pretrain.engine.augmented import AugmentedBatch
from pretrain.engine.loader import RawBatch
from pretrain.methods.interface import RunFacts
from pretrain.methods.lookup import find_method
from tests.pretrain.test_engine import tiny_config

RUN = RunFacts(epochs=1, steps_per_epoch=4, global_batch_size=64, image_size=16, view_sizes=(16, 16))

CPU = torch.device("cpu")
GLOBAL_BATCH = 64


def vit_config(**changes: Any) -> PretrainConfig:
    vit = {"backbone": "tiny_vit", "image_size": 16, "global_batch_size": GLOBAL_BATCH, "epochs": 1}
    return tiny_config(**{**vit, **changes})


def built(config: PretrainConfig, backbone: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    module, info = find_method(config.method), find_backbone(config.backbone)
    return module.build(
        module.Config.model_validate(config.method_options),
        backbone=backbone or info.build(config.image_size),
        feature_dimension=info.INFO.width,
        num_classes=10,
        run=RUN,
    ).train()


def batch_of(config: PretrainConfig, rank: int = 0, world_size: int = 1) -> AugmentedBatch:
    size, share = config.global_batch_size, config.global_batch_size // world_size
    generator = torch.Generator().manual_seed(1)
    shape = (len(config.views), size, 3, config.image_size, config.image_size)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (size,), generator=generator)
    rows = slice(rank * share, (rank + 1) * share)
    return AugmentedBatch(
        RawBatch(3, tuple(images[:, rows]), labels[rows], torch.arange(size)[rows]), config, 10, rank, CPU
    )


def assert_same_gradients(ours: nn.Module, theirs: nn.Module, tolerance: float) -> None:
    """Relative, parameter by parameter.

    A shift of all features changes nothing behind a batch normalisation: such gradients are zero but for rounding, and
    are measured by the whole gradient.
    """
    expected = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    found = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    whole = torch.stack([gradient.norm() for gradient in expected.values()]).norm()
    for name, gradient in expected.items():
        error = (found[name] - gradient).norm()
        assert error <= tolerance * max(gradient.norm(), 1e-3 * whole), f"{name}: {error / gradient.norm()}"


def train(config: PretrainConfig, directory: Path, **options: Any) -> None:
    def report(**_: Any) -> None: ...

    torch.set_num_threads(1)
    compute = ComputeOptions(**options)
    pretrain(
        config, run_directory=directory, data_root=None, device="cpu", num_workers=0, report=report, compute=compute
    )

"""A checkpoint in the official layout, imported, trains as the layout's own definition does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pretrain.backbones.lookup import find_backbone
from pretrain.batch import Batch
from pretrain.checkpoint import load_backbone, load_exactly, load_state
from pretrain.foreign.parts.conversion import import_file, write_ours
from pretrain.foreign.parts.reading import read_foreign
from pretrain.method import Step
from pretrain.methods.interface import RunFacts
from pretrain.methods.lookup import find_method
from tests.pretrain.foreign.layouts import Official, OfficialResNet, OfficialViT, randomise, save_official

MOMENTUM = 0.99
VIT = partial(OfficialViT, width=48, depth=2, heads=12, patch=4, grid=4)
# As the official repositories name the parts of a trained model, and as ours does.
OUR_PARTS = (
    ("base_encoder.head.", "heads.projection."),
    ("base_encoder.fc.", "heads.projection."),
    ("base_encoder.", "backbone."),
    ("predictor.", "heads.instance."),
    ("fully_projector.", "heads.class."),
)


def our_name(name: str) -> str:
    theirs, ours = next(pair for pair in OUR_PARTS if name.startswith(pair[0]))
    return ours + name.removeprefix(theirs)


def imported(path: Path, folder: Path) -> tuple[nn.Module, Any]:
    """The method rebuilt from nothing but the imported files and the options the shapes tell."""
    checkpoint = import_file(read_foreign(path))
    assert checkpoint.method is not None
    write_ours(checkpoint, folder, "import-test")
    state, header = load_state(folder / "method.safetensors")
    module = find_method(checkpoint.method.name)
    method = module.build(
        module.Config.model_validate({**checkpoint.method.options, "target_momentum": MOMENTUM}),
        backbone=find_backbone(header.backbone).build(header.image_size),
        feature_dimension=find_backbone(header.backbone).INFO.width,
        num_classes=checkpoint.method.num_classes,
        run=RunFacts(1, 1, 64, header.image_size, (header.image_size, header.image_size)),
    )
    load_exactly(method, state, what="method.safetensors")
    return method.train(), checkpoint


@pytest.mark.parametrize("classes", [0, 7], ids=["moco_v3", "opera"])
@pytest.mark.parametrize(
    ("encoder", "backbone", "temperature"),
    [(VIT, "twelve_heads", 0.2), (OfficialResNet, "tiny_resnet", 1.0)],
    ids=["vit", "resnet"],
)
def test_loss_and_gradients_are_the_layouts_own(
    encoder: Callable[[], nn.Module], backbone: str, temperature: float, classes: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    official = Official(encoder, hidden=40, dimension=24, classes=classes, temperature=temperature)
    randomise(official, keep={"pos_embed"})
    path = save_official(tmp_path / "official.pth.tar", official, backbone)
    ours, checkpoint = imported(path, tmp_path / "ours")
    assert checkpoint.format == ("opera" if classes else "moco_v3")
    assert (checkpoint.header.backbone, checkpoint.header.epochs) == (backbone, 300)

    first, second = torch.randn(2, 12, 3, 16, 16)
    labels = torch.randint(max(classes, 1), (12,))
    expected = official.train().loss(first, second, labels, MOMENTUM)
    expected.backward()
    ours.before_step(Step(0, 1, 0.0, 1))
    loss, _ = ours.loss(Batch((first, second), labels, torch.arange(12)))
    loss.backward()

    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    gradients = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    wanted = {our_name(name): p.grad for name, p in official.named_parameters() if p.grad is not None}
    assert gradients.keys() == wanted.keys()
    for name, gradient in wanted.items():
        # A bias before a batch normalisation has no gradient but rounding: hence the floor.
        # Sums in another order: how far they part differs from processor to processor.
        tolerance = max(3e-5 * gradient.abs().max().item(), 3e-6)
        assert (gradients[name] - gradient).abs().max().item() <= tolerance, name
    # The batch statistics moved alike too, those of the momentum encoder included.
    after = ours.state_dict()
    for name, tensor in official.base_encoder.state_dict().items():
        torch.testing.assert_close(after[our_name(f"base_encoder.{name}")], tensor, rtol=1e-5, atol=1e-6)
    for name, tensor in official.momentum_encoder.state_dict().items():
        torch.testing.assert_close(after["target_" + our_name(f"base_encoder.{name}")], tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("encoder", [VIT, OfficialResNet], ids=["vit", "resnet"])
def test_the_backbone_gives_the_same_features(encoder: Callable[[], nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(1)
    official = Official(encoder, hidden=8, dimension=8, classes=3, temperature=1.0)
    randomise(official, keep={"pos_embed"})
    path = save_official(tmp_path / "official.pth.tar", official, "arch")
    write_ours(import_file(read_foreign(path)), tmp_path / "ours", "import-test")
    backbone, header = load_backbone(tmp_path / "ours" / "backbone.safetensors")
    trunk = official.base_encoder.eval()
    setattr(trunk, "head" if isinstance(trunk, OfficialViT) else "fc", nn.Identity())
    images = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(backbone(images), trunk(images), rtol=1e-5, atol=1e-5)
    assert header.num_heads == (12 if isinstance(trunk, OfficialViT) else None)


def test_six_heads_would_give_other_features() -> None:
    """Why the number of heads must be carried: the shapes agree, the features do not."""
    twelve, six = (OfficialViT(width=48, depth=2, heads=heads, patch=4, grid=4) for heads in (12, 6))
    randomise(twelve)
    six.load_state_dict(twelve.state_dict())
    images = torch.randn(2, 3, 16, 16)
    assert (twelve(images) - six(images)).abs().max() > 1e-2

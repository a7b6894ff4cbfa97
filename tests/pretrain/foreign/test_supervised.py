"""Networks that other training scripts saved: wrapped, compiled, old, or in Caffe's style. Features are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from pretrain.checkpoint import load_backbone
from pretrain.errors import InputError
from pretrain.foreign.parts.conversion import read_checkpoint, write_checkpoint
from tests.pretrain.foreign.layouts import randomise

WRAPPERS = [
    "module.",
    "_orig_mod.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "_forward_module.",
    "model.",
    "backbone.",
]
WRAPPERS += ["encoder.", "model.backbone.", "_forward_module._orig_mod.model."]


def resnet50() -> nn.Module:
    model = torchvision.models.resnet50()
    randomise(model)
    return model.eval()


def deit() -> nn.Module:
    model = timm.create_model("deit_small_patch16_224", img_size=32)
    randomise(model)
    return model.eval()


@pytest.fixture(scope="module", params=[resnet50, deit])
def supervised(request: pytest.FixtureRequest) -> nn.Module:
    return request.param()


def without_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def assert_same_features(path: Path, theirs: nn.Module, folder: Path) -> None:
    write_checkpoint(read_checkpoint(path), "opera_bench", folder)
    ours, header = load_backbone(folder / "backbone.safetensors")
    images = torch.randn(
        2, 3, header.image_size if header.num_heads else 64, header.image_size if header.num_heads else 64
    )
    whole, last = theirs(images), theirs.fc if header.num_heads is None else theirs.head
    with torch.no_grad():
        torch.testing.assert_close(last(ours(images)), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prefix", WRAPPERS)
def test_a_wrapped_supervised_network_has_the_features_of_its_source(
    prefix: str, supervised: nn.Module, tmp_path: Path
) -> None:
    state = {f"{prefix}{name}": tensor for name, tensor in supervised.state_dict().items()}
    optimizer = torch.optim.SGD(supervised.parameters(), lr=0.1).state_dict()
    torch.save({"epoch": 90, "arch": "x", "state_dict": state, "optimizer": optimizer}, tmp_path / "file.pth")
    notes = read_checkpoint(tmp_path / "file.pth").notes
    assert f"stripped the prefix {prefix} from every key" in notes
    assert_same_features(tmp_path / "file.pth", supervised, tmp_path / "ours")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_network_without_counters_has_the_features_of_its_source(prefix: str, tmp_path: Path) -> None:
    model = resnet50()
    state = {f"{prefix}{name}": tensor for name, tensor in without_counters(dict(model.state_dict())).items()}
    torch.save(state, tmp_path / "file.pth")
    notes = read_checkpoint(tmp_path / "file.pth").notes
    assert any("53 counters are 0" in note for note in notes)
    assert any("Caffe's style" in note for note in notes), "what the shapes can't tell is said"
    assert_same_features(tmp_path / "file.pth", model, tmp_path / "ours")


def test_some_counters_missing_is_no_old_file(tmp_path: Path) -> None:
    state = dict(resnet50().state_dict())
    del state["layer1.0.bn1.num_batches_tracked"]
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(InputError, match=r"missing layer1\.0\.bn1\.num_batches_tracked"):
        read_checkpoint(tmp_path / "file.pth")


def pixels(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The statistics after a pass over images of 0 to 255, as Caffe's networks take them."""
    norm = nn.BatchNorm2d(64, momentum=1.0)
    images = torch.nn.functional.interpolate(torch.rand(8, 3, 8, 8) * 255, size=64, mode="bilinear")
    norm(nn.functional.conv2d(images - 120, state["conv1.weight"], stride=2, padding=3))
    return {**state, "bn1.running_mean": norm.running_mean, "bn1.running_var": norm.running_var}


def folded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    fixed = {name: torch.zeros_like(tensor) for name, tensor in state.items() if name.endswith("running_mean")}
    return {**state, **fixed, **{n: torch.ones_like(t) for n, t in state.items() if n.endswith("running_var")}}


def with_bias(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "conv1.bias": torch.zeros(64)}


@pytest.mark.parametrize("style", [pixels, folded, with_bias])
def test_a_caffe_style_network_is_refused_by_name(style: Any, tmp_path: Path) -> None:
    torch.save(style(without_counters(dict(resnet50().state_dict()))), tmp_path / "file.pth")
    with pytest.raises(InputError, match="Caffe's style"):
        read_checkpoint(tmp_path / "file.pth")


def test_normalised_images_are_no_caffe_pixels(tmp_path: Path) -> None:
    """One colour over the whole image and weights that add it up give the largest variance there can be."""
    model = torchvision.models.resnet50()
    nn.init.constant_(model.conv1.weight, 0.1)
    model.bn1.momentum = 1.0
    model(torch.randn(32, 1, 1, 1).expand(-1, 3, 64, 64))
    torch.save(without_counters(model.state_dict()), tmp_path / "file.pth")
    assert read_checkpoint(tmp_path / "file.pth").header.backbone == "resnet50"


def test_a_linear_probe_under_the_same_names_is_refused(tmp_path: Path) -> None:
    model = resnet50()
    optimizer = torch.optim.SGD(model.fc.parameters(), lr=0.1).state_dict()
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": state, "optimizer": optimizer, "epoch": 90}, tmp_path / "file.pth")
    with pytest.raises(InputError, match="linear probe"):
        read_checkpoint(tmp_path / "file.pth")


def test_a_prefix_that_not_all_keys_share_is_none(tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in resnet50().state_dict().items()}
    state["conv1.weight"] = state.pop("module.conv1.weight")
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(InputError, match="no format recognises it"):
        read_checkpoint(tmp_path / "file.pth")

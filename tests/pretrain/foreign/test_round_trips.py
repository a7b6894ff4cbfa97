"""Written, converted, loaded by the library it was written for as the command says: the same features."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import load_backbone
from pretrain.errors import InputError
from pretrain.foreign.parts.conversion import read_checkpoint, write_checkpoint

Ours = Callable[..., Path]
VITS = [("tiny_vit", 16), ("twelve_heads", 16), ("vit_small", 32), ("deit_small", 32)]


def features(path: Path, images: torch.Tensor) -> torch.Tensor:
    model, _ = load_backbone(path)
    with torch.no_grad():
        return model(images)


@pytest.mark.parametrize(("backbone", "size"), [*VITS, ("resnet50", 64)])
@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_timm_loads_what_was_written_for_it(backbone: str, size: int, ending: str, ours: Ours, tmp_path: Path) -> None:
    path = ours(backbone, size)
    usage = write_checkpoint(read_checkpoint(path), "timm", tmp_path / f"out{ending}")
    theirs = eval(usage, {"timm": timm}).eval()
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert torch.equal(theirs(images), features(path, images))


@pytest.mark.parametrize(("backbone", "size"), [*VITS, ("resnet50", 64)])
def test_timm_loads_the_hugging_face_folder_offline(
    backbone: str, size: int, ours: Ours, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = ours(backbone, size)
    folder = tmp_path / "folder"
    usage = write_checkpoint(read_checkpoint(path), "huggingface", folder)
    assert sorted(item.name for item in folder.iterdir()) == ["config.json", "model.safetensors"]
    theirs = eval(usage, {"timm": timm}).eval()
    heads = find_backbone(backbone).INFO.num_heads
    assert heads is None or theirs.blocks[0].attn.num_heads == heads
    assert tuple(theirs.pretrained_cfg["mean"]) == (0.485, 0.456, 0.406)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert torch.equal(theirs(images), features(path, images))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvision_loads_what_was_written_for_it(suffix: str, ours: Ours, tmp_path: Path) -> None:
    path = ours("resnet50", 64)
    usage = write_checkpoint(read_checkpoint(path), "torchvision", tmp_path / f"out{suffix}")
    model = torchvision.models.resnet50()
    missing = eval(usage, {"model": model, "torch": torch, "safetensors": safetensors})
    assert (missing.missing_keys, missing.unexpected_keys) == (["fc.weight", "fc.bias"], [])
    model.fc = nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), features(path, images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("module", ["timm", "torchvision"])
def test_a_resnet_of_theirs_becomes_ours(module: str, tmp_path: Path) -> None:
    theirs = timm.create_model("resnet50") if module == "timm" else torchvision.models.resnet50()
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    found = read_checkpoint(tmp_path / "theirs.pth", module)
    assert found.left_out == ("fc.weight", "fc.bias")
    write_checkpoint(found, "opera_bench", tmp_path / "ours")
    theirs.fc = nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs.eval()(images)
    torch.testing.assert_close(features(tmp_path / "ours/backbone.safetensors", images), expected, rtol=1e-5, atol=1e-6)


def test_deits_file_becomes_deit_small_and_not_vit_small(tmp_path: Path) -> None:
    theirs = timm.create_model("deit_small_patch16_224", img_size=32).eval()
    torch.save({"model": theirs.state_dict()}, tmp_path / "deit.pth")
    found = read_checkpoint(tmp_path / "deit.pth")
    assert (found.format, found.header.backbone, found.header.num_heads) == ("timm", "deit_small", 6)
    write_checkpoint(found, "opera_bench", tmp_path / "ours")
    theirs.reset_classifier(0)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(features(tmp_path / "ours" / "backbone.safetensors", images), theirs(images))


@pytest.mark.parametrize(("backbone", "size"), [("tiny_vit", 16), ("twelve_heads", 16)])
@pytest.mark.parametrize("first", ["timm.pth", "timm.safetensors", "mmseg_vit.pth", "huggingface"])
@pytest.mark.parametrize("second", ["timm.pth", "timm.safetensors", "mmseg_vit.pth", "huggingface"])
def test_files_of_every_pair_of_formats_bring_the_backbone_back(
    backbone: str, size: int, first: str, second: str, ours: Ours, tmp_path: Path
) -> None:
    start = read_checkpoint(ours(backbone, size))
    write_checkpoint(start, first.partition(".")[0], tmp_path / "a" / first)
    write_checkpoint(read_checkpoint(tmp_path / "a" / first), second.partition(".")[0], tmp_path / "b" / second)
    end = read_checkpoint(tmp_path / "b" / second)
    assert end.backbone.keys() == start.backbone.keys()
    assert all(end.backbone[name].equal(start.backbone[name]) for name in start.backbone)
    kept = {"backbone", "num_heads", "position_embedding", "image_size", "normalisation"}
    assert end.header.model_dump(include=kept) == start.header.model_dump(include=kept)


@pytest.mark.parametrize(
    ("backbone", "size", "to"),
    [
        ("tiny_resnet", 16, "mmseg_vit.pth"),
        ("tiny_resnet", 16, "mm_resnet.pth"),
        ("tiny_resnet", 16, "huggingface"),
        ("tiny_vit", 16, "torchvision.pth"),
        ("tiny_vit", 16, "mm_resnet.pth"),
        ("tiny_vit", 16, "timm.txt"),
    ],
)
def test_what_a_format_can_not_hold_is_refused_and_nothing_is_written(
    backbone: str, size: int, to: str, ours: Ours, tmp_path: Path
) -> None:
    checkpoint = read_checkpoint(ours(backbone, size))
    with pytest.raises(InputError):
        write_checkpoint(checkpoint, to.partition(".")[0], tmp_path / "out" / to)
    assert not (tmp_path / "out").exists()


def built_by_mmseg(usage: str) -> Any:
    from evaluators.dense.operators import ensure_operators

    ensure_operators()  # before anything imports mmcv: what came without operators stays without them
    import mmseg.models.backbones  # noqa: F401  (registers)
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    with DefaultScope.overwrite_default_scope("mmseg"):  # a test before may have left that of mmdet
        model = MODELS.build(eval(f"dict({usage})")["backbone"])
    model.init_weights()
    model.eval()  # a ResNet of OpenMMLab returns nothing from it
    return model


@pytest.mark.parametrize(("backbone", "size"), [("twelve_heads", 16), ("vit_small", 32)])
def test_mmseg_builds_the_vit_as_the_command_says(backbone: str, size: int, ours: Ours, tmp_path: Path) -> None:
    pytest.importorskip("mmseg")
    path = ours(backbone, size)
    usage = write_checkpoint(read_checkpoint(path), "mmseg_vit", tmp_path / "out.pth")
    theirs = built_by_mmseg(usage)
    theirs.output_cls_token = True
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        _, class_token = theirs(images)[-1]
    torch.testing.assert_close(class_token, features(path, images), rtol=1e-5, atol=1e-5)


def test_mmseg_builds_the_resnet_as_the_command_says(ours: Ours, tmp_path: Path) -> None:
    pytest.importorskip("mmseg")
    path = ours("resnet50", 64)
    theirs = built_by_mmseg(write_checkpoint(read_checkpoint(path), "mm_resnet", tmp_path / "out.pth"))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        pooled = theirs(images)[-1].mean(dim=(2, 3))
    torch.testing.assert_close(pooled, features(path, images), rtol=1e-4, atol=1e-5)


# mmdet imports mmcv's compiled operators, which not every installation has; no backbone calls one. A process of its
# own, so that the stand-in stays out of the other tests.
MMDET = """\
import sys, types, torch
class Operators(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return None
try:
    import mmcv._ext
except ImportError:
    sys.modules["mmcv._ext"] = Operators("mmcv._ext")
from mmdet.models.backbones import ResNet
config = eval(sys.argv[1])["backbone"]
config.pop("type")
model = ResNet(**config)
model.init_weights()
model.eval()
images = torch.load(sys.argv[2], weights_only=True)
with torch.no_grad():
    torch.save(model(images)[-1].mean(dim=(2, 3)), sys.argv[3])
"""


@pytest.mark.slow
def test_mmdet_builds_the_resnet_as_the_command_says(ours: Ours, tmp_path: Path) -> None:
    pytest.importorskip("mmdet")
    path = ours("resnet50", 64)
    usage = write_checkpoint(read_checkpoint(path), "mm_resnet", tmp_path / "out.pth")
    images = torch.randn(2, 3, 64, 64)
    torch.save(images, tmp_path / "images.pt")
    call = [sys.executable, "-c", MMDET, f"dict({usage})", tmp_path / "images.pt", tmp_path / "features.pt"]
    subprocess.run(call, check=True, cwd=tmp_path)
    pooled = torch.load(tmp_path / "features.pt", weights_only=True)
    torch.testing.assert_close(pooled, features(path, images), rtol=1e-4, atol=1e-5)

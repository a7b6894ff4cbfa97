"""Feature maps of this suite's backbones against the networks of OpenMMLab's libraries with the same weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from evaluators.dense.library import require
from evaluators.dense.operators import ensure_operators
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import save_checkpoint
from pretrain.errors import InputError
from tests.evaluators.conftest import DIGITS, MakeCheckpoint
from tests.evaluators.dense.stack import needs

pytestmark = needs("mmseg")


@pytest.fixture(autouse=True, scope="module")
def _operators() -> None:
    """Before anything imports mmcv: what came without operators stays without them, for later tests too."""
    ensure_operators()


VIT_NAMES = (
    (r"^blocks\.", "layers."),
    (r"\.norm(\d)\.", r".ln\1."),
    (r"\.mlp\.fc1\.", ".ffn.layers.0.0."),
    (r"\.mlp\.fc2\.", ".ffn.layers.1."),
    (r"\.attn\.qkv\.(weight|bias)", r".attn.attn.in_proj_\1"),
    (r"\.attn\.proj\.", ".attn.attn.out_proj."),
    (r"^patch_embed\.proj\.", "patch_embed.projection."),
)


def randomised(model: nn.Module) -> nn.Module:
    """Every tensor drawn anew, so that zero-initialised branches and identity statistics can't hide a mistake."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=generator) * 0.1
            tensor.copy_(drawn.abs() + 0.5 if "running_var" in name else drawn + ("bn" in name and "weight" in name))
    return model


def in_mmseg_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in VIT_NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def ours(name: str, **options: Any) -> Any:
    from evaluators.dense.backbone import OperaBackbone

    backbone = OperaBackbone(name, **options)
    randomised(backbone.model)
    return backbone.eval()


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (70, 50)])
def test_vit_small_equals_mmseg(size: tuple[int, int]) -> None:
    from mmseg.models.backbones import VisionTransformer

    backbone = ours("vit_small", image_size=64, out_indices=(2, 5, 8, 11))
    theirs = VisionTransformer(
        img_size=(64, 64), embed_dims=384, num_heads=12, out_indices=(2, 5, 8, 11), qkv_bias=True,
        norm_cfg={"type": "LN", "eps": 1e-6}, interpolate_mode="bicubic", patch_bias=True,
    )  # fmt: skip
    state = {k: v for k, v in in_mmseg_names(backbone.model.state_dict()).items() if not k.startswith("norm.")}
    theirs.load_state_dict(state)
    theirs.eval()
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        for mine, expected in zip(backbone(images), theirs(images), strict=True):
            torch.testing.assert_close(mine, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dilated", [True, False])
def test_resnet50_equals_the_libraries(dilated: bool) -> None:
    from mmseg.models.backbones import ResNet

    backbone = ours("resnet50", output_stride=8 if dilated else None)
    layout = {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4), "contract_dilation": True} if dilated else {}
    theirs = ResNet(depth=50, style="pytorch", **layout)
    theirs.load_state_dict(backbone.model.state_dict())
    theirs.eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for mine, expected in zip(backbone(images), theirs(images), strict=True):
            torch.testing.assert_close(mine, expected, atol=1e-4, rtol=1e-4)


def test_dilated_basic_blocks_equal_timm() -> None:
    """timm dilates at construction; mmseg's basic blocks leave the second convolution undilated."""
    from timm.models import resnet

    backbone = ours("tiny_resnet", output_stride=8)
    theirs: Any = resnet.ResNet(
        block=resnet.BasicBlock, layers=(1, 1, 1, 1), channels=(16, 32, 64, 128), num_classes=0, output_stride=8
    )
    theirs.conv1, theirs.maxpool = backbone.model.conv1, nn.Identity()
    theirs.load_state_dict(backbone.model.state_dict())
    # timm counts an ImageNet stem's stride of 4 towards 8, so its second stage strides as tiny_resnet's does.
    images = torch.randn(1, 3, 48, 48)
    with torch.no_grad():
        expected = theirs.eval().forward_features(images)
        torch.testing.assert_close(backbone(images)[-1], expected, atol=1e-5, rtol=1e-5)


def test_the_position_embedding_is_resized_as_mmseg_does() -> None:
    from mmseg.models.backbones import VisionTransformer

    from evaluators.dense.backbone import resize_position_embedding

    embedding = torch.randn(1, 1 + 14 * 14, 12)
    expected = VisionTransformer.resize_pos_embed(embedding, (32, 20), (14, 14), "bicubic")
    torch.testing.assert_close(resize_position_embedding(embedding, (32, 20)), expected)


def test_every_key_of_the_checkpoint_is_loaded_and_trains(make_checkpoint: MakeCheckpoint) -> None:
    from evaluators.dense.backbone import OperaBackbone
    from pretrain.checkpoint import load_state

    for name in ("tiny_vit", "tiny_resnet"):
        path = make_checkpoint(name)
        backbone = OperaBackbone(name, str(path), image_size=32)
        backbone.init_weights()
        state, _ = load_state(path)
        loaded = backbone.model.state_dict()
        assert loaded.keys() == state.keys()
        for key, tensor in state.items():
            assert key == "pos_embed" or torch.equal(loaded[key], tensor)
        assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    from evaluators.dense.backbone import OperaBackbone

    module = find_backbone("tiny_resnet")
    state = module.build(16).state_dict()
    del state["layer3.0.conv1.weight"]
    path = tmp_path / "tiny_resnet.safetensors"
    header = {
        "role": "backbone", "backbone": "tiny_resnet", "num_heads": None, "position_embedding": None,
        "image_size": 16, "normalisation": DIGITS, "method": "x", "epochs": 0, "run_id": "x",
    }  # fmt: skip
    save_checkpoint(path, state, header)
    with pytest.raises(InputError, match=r"tiny_resnet\.safetensors: .*missing layer3\.0\.conv1\.weight"):
        OperaBackbone("tiny_resnet", str(path)).init_weights()


def test_frozen_stages_and_kept_statistics_are_those_of_mmdet() -> None:
    from mmseg.models.backbones import ResNet

    for frozen_stages in (-1, 0, 1, 4):
        for norm_eval in (False, True):
            backbone = ours("resnet50", frozen_stages=frozen_stages, norm_eval=norm_eval).train()
            theirs = ResNet(depth=50, frozen_stages=frozen_stages, norm_eval=norm_eval)
            theirs.train()
            expected = {name: parameter.requires_grad for name, parameter in theirs.named_parameters()}
            assert {name: p.requires_grad for name, p in backbone.model.named_parameters()} == expected
            modes = {name: module.training for name, module in theirs.named_modules() if "bn" in name}
            found = dict(backbone.model.named_modules())
            assert {name: found[name].training for name in modes} == modes


def test_what_is_measured_without_computing() -> None:
    require("mmseg")
    from evaluators.dense.backbone import measure_features

    assert measure_features("resnet50", image_size=224) == [(256, 4), (512, 8), (1024, 16), (2048, 32)]
    dilated = measure_features("resnet50", image_size=224, output_stride=8)
    assert dilated == [(256, 4), (512, 8), (1024, 8), (2048, 8)]
    assert measure_features("vit_base", image_size=512) == [(768, 16)] * 12

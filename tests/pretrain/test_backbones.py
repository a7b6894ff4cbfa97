"""Backbones against what MoCo-v3 says of them, and against torchvision."""

from __future__ import annotations

import math

import pytest
import torch
import torchvision
from torch import nn

from pretrain.backbones.families.vit import sincos_position_embedding
from pretrain.backbones.lookup import backbone_names, find_backbone
from pretrain.errors import InputError


def vit_parameters(width: int, depth: int, patch: int, tokens: int) -> int:
    """Counted from the definition, position embedding included."""
    block = 2 * 2 * width + (3 * width * width + 3 * width) + (width * width + width) + 8 * width * width + 5 * width
    return depth * block + 2 * width + (3 * patch * patch * width + width) + width + (tokens + 1) * width


@pytest.mark.parametrize(("name", "width"), [("vit_small", 384), ("vit_base", 768)])
def test_vit_size_heads_and_frozen_parts(name: str, width: int) -> None:
    module = find_backbone(name)
    model = module.build(224)
    assert sum(p.numel() for p in model.parameters()) == vit_parameters(width, 12, 16, 196)
    assert {block.attn.num_heads for block in model.blocks} == {module.INFO.num_heads} == {12}
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"pos_embed"}


def test_resnet50_is_torchvisions() -> None:
    ours = find_backbone("resnet50").build(224).eval()
    theirs = torchvision.models.resnet50(zero_init_residual=True)
    theirs.fc = nn.Identity()
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(images), theirs.eval()(images))
    assert all((block.bn3.weight == 0).all() for stage in (ours.layer1, ours.layer4) for block in stage)


@pytest.mark.parametrize("name", backbone_names())
def test_features_have_the_width_and_the_network_the_depth_that_is_announced(name: str) -> None:
    size = 16 if name.startswith("tiny") else 32
    module = find_backbone(name)
    model = module.build(size).eval()
    assert model(torch.randn(2, 3, size, size)).shape == (2, module.INFO.width)
    assert module.INFO.depth == (len(model.blocks) if hasattr(model, "blocks") else None)


def test_sincos_embedding_from_its_formula() -> None:
    rows, columns, width = 3, 3, 16
    embedding = sincos_position_embedding(rows, columns, width)[0]
    assert (embedding[0] == 0).all(), "the class token has no position"
    for row in range(rows):
        for column in range(columns):
            token = embedding[1 + row * columns + column]
            for k in range(width // 4):
                frequency = 1 / 10_000 ** (k / (width // 4))
                expected = [
                    math.sin(row * frequency),
                    math.cos(row * frequency),
                    math.sin(column * frequency),
                    math.cos(column * frequency),
                ]
                assert token[k :: width // 4].tolist() == pytest.approx(expected, abs=1e-6)


def test_initial_ranges() -> None:
    """xavier-uniform with q, k, v each on its own; patch projection by the fan of 3·p² + width."""
    torch.manual_seed(0)
    width = 384
    model = find_backbone("vit_small").build(224)
    qkv = model.blocks[0].attn.qkv.weight
    assert qkv.abs().max().item() == pytest.approx(math.sqrt(6 / (width + width)), rel=1e-3)
    fc1 = model.blocks[0].mlp.fc1.weight
    assert fc1.abs().max().item() == pytest.approx(math.sqrt(6 / (width + 4 * width)), rel=1e-3)
    projection = model.patch_embed.proj.weight
    assert projection.abs().max().item() == pytest.approx(math.sqrt(6 / (3 * 16**2 + width)), rel=1e-3)
    assert model.cls_token.std().item() == pytest.approx(1e-6, rel=0.2)
    assert (model.blocks[0].attn.qkv.bias == 0).all()


def test_an_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'resnet50'"):
        find_backbone("resnet5")

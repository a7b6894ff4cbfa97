"""Hugging Face folders: the same names and shapes may be another network's, which only ``config.json`` tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pretrain.errors import InputError
from pretrain.foreign.parts.conversion import read_checkpoint, write_checkpoint
from pretrain.foreign.parts.hub_config import RESNETS, VITS

Ours = Callable[..., Path]


@pytest.fixture
def folder(ours: Ours, tmp_path: Path) -> Path:
    write_checkpoint(read_checkpoint(ours("tiny_vit", 16)), "huggingface", tmp_path / "folder")
    return tmp_path / "folder"


def reconfigure(folder: Path, arguments: dict[str, Any] | None = None, **keys: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "model_args": {**config["model_args"], **(arguments or {})}, **keys}))


@pytest.mark.parametrize(
    ("arguments", "keys", "complaint"),
    [
        ({}, {"architecture": "resnetblur50"}, "architecture 'resnetblur50' is not supported"),
        ({}, {"architecture": ["vit"]}, r"architecture \['vit'\] is not supported"),
        ({"act_layer": "quick_gelu"}, {}, "with act_layer='quick_gelu' is another network"),
        ({"norm_layer": "layernorm", "pre_norm": True}, {}, "with norm_layer='layernorm'; pre_norm=True is another"),
        ({"global_pool": "avg"}, {}, "with global_pool='avg' is another"),
        ({}, {"global_pool": "avg"}, "with global_pool='avg' beside architecture is another"),
        ({"img_size": [8, 32]}, {}, r"images of \[8, 32\] are not square"),
        ({"img_size": 32}, {}, "img_size is 32, but the weights have img_size 16"),
        ({"depth": 13}, {}, "depth is 13, but the weights have depth 4"),
        ({"mlp_ratio": 3}, {}, "mlp_ratio is 3, but the weights have mlp_ratio 4"),
        ({"num_heads": 8}, {}, "num_heads is 8, and the weights beside it say 4"),
        ({}, {"pretrained_cfg": {"mean": [0.5], "std": [0.5]}}, "mean and std of three channels"),
        ({}, {"pretrained_cfg": {"mean": [0.5] * 3, "std": [0.0] * 3}}, "mean and std of three channels"),
        ({}, {"model_args": "none"}, "not the config.json of a timm model"),
    ],
)
@pytest.mark.parametrize("format_name", ["auto", "timm"])
def test_a_network_that_is_none_of_ours_is_refused(
    format_name: str, arguments: dict[str, Any], keys: dict[str, Any], complaint: str, folder: Path
) -> None:
    reconfigure(folder, arguments, **keys)
    with pytest.raises(InputError, match=rf"config\.json: .*{complaint}"):
        read_checkpoint(folder, format_name)


def test_what_leaves_the_network_as_it_is_may_stand_there(folder: Path) -> None:
    reconfigure(folder, {"img_size": [16, 16], "in_chans": 3, "num_classes": 10, "drop_path_rate": 0.1})
    reconfigure(folder, {"mlp_ratio": 4.001, "depth": None})
    assert read_checkpoint(folder).header.backbone == "tiny_vit"


def test_method_epochs_and_normalisation_survive_the_folder(folder: Path) -> None:
    found = read_checkpoint(folder)
    assert (found.format, found.header.method, found.header.epochs) == ("huggingface", "opera", 3)
    reconfigure(folder, pretrained_cfg={"mean": [0.5] * 3, "std": [0.25] * 3})
    assert read_checkpoint(folder).header.normalisation.std == (0.25,) * 3


def test_a_folder_of_somebody_else_says_nothing_of_method_and_epochs(folder: Path) -> None:
    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors")
    header = read_checkpoint(folder).header
    assert (header.method, header.epochs, header.num_heads) == ("unknown", None, 4)


@pytest.mark.parametrize("name", VITS)
def test_timms_vits_by_these_names_differ_from_ours_in_nothing_but_size(name: str) -> None:
    if not timm.is_model(name):
        pytest.skip("this timm does not have it")
    with torch.device("meta"):
        model = timm.create_model(name)
    assert model.global_pool == "token"
    assert model.blocks[0].attn.num_heads * 64 == model.embed_dim
    assert type(model.blocks[0].mlp.act) is nn.GELU
    assert {module.eps for module in model.modules() if isinstance(module, nn.LayerNorm)} == {1e-6}


def test_timms_resnet_pools_as_ours() -> None:
    assert RESNETS == ("resnet50",)
    with torch.device("meta"):
        model = timm.create_model("resnet50")
    assert type(model.maxpool) is nn.MaxPool2d
    assert type(model.act1) is nn.ReLU

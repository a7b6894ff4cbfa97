"""Hugging Face folders whose weights are not in one model.safetensors, or are of transformers' own layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pretrain.errors import InputError
from pretrain.foreign.parts.conversion import read_checkpoint

TRANSFORMERS = {
    "vit.embeddings.cls_token": torch.ones(1, 1, 8),
    "vit.encoder.layer.0.attention.attention.query.weight": torch.ones(8, 8),
}


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"pytorch_model.bin": None}, r"convert .*pytorch_model\.bin --to opera_bench"),
        ({"pytorch_model.bin.index.json": {}}, "cut into shards"),
        ({"model.safetensors.index.json": {"weight_map": {}}}, r"cut into shards.*merge the shards"),
        ({"tf_model.h5": None}, r"holds neither backbone\.safetensors nor model\.safetensors"),
    ],
)
def test_other_weights_get_a_sentence_that_says_what_to_do(
    files: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    for name, content in {"config.json": {"architecture": "vit_small_patch16_224"}, **files}.items():
        (tmp_path / name).write_text("" if content is None else json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "config", [{"model_type": "vit"}, {"architectures": ["ViTModel"], "model_type": "vit\x1b[31m"}]
)
def test_transformers_own_vit_gets_a_sentence(config: dict[str, Any], tmp_path: Path) -> None:
    save_file(TRANSFORMERS, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match=r"a model of transformers \(vit.*timm's layout \(timm/") as refusal:
        read_checkpoint(tmp_path)
    assert str(refusal.value).isprintable()
    with pytest.raises(InputError, match=r"keys of transformers' ViT: take the same weights in timm's layout"):
        read_checkpoint(tmp_path / "model.safetensors")

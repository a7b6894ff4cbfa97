"""A small backbone with 12 heads beside the shipped ones, and checkpoints of ours to convert."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import pretrain.backbones
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import save_checkpoint
from pretrain.foreign.parts.conversion import IMAGENET
from pretrain.foreign.parts.identify import backbone_shapes
from pretrain.plugins import plugin_names, shipped_names
from tests.pretrain.foreign.layouts import randomise


@pytest.fixture(autouse=True, scope="package")
def _one_thread_and_twelve_heads() -> Iterator[None]:
    threads, path = torch.get_num_threads(), list(pretrain.backbones.__path__)
    torch.set_num_threads(1)
    pretrain.backbones.__path__.append(str(Path(__file__).parent / "fakes"))
    plugin_names.cache_clear()
    shipped_names.cache_clear()
    yield
    pretrain.backbones.__path__[:] = path
    plugin_names.cache_clear()
    shipped_names.cache_clear()
    backbone_shapes.cache_clear()
    torch.set_num_threads(threads)


@pytest.fixture
def ours(tmp_path: Path) -> Callable[..., Path]:
    """Writes a checkpoint of ours with random weights and batch statistics."""

    def write(backbone: str, image_size: int) -> Path:
        module = find_backbone(backbone)
        model = module.build(image_size)
        randomise(model, keep={"pos_embed"})
        header = {
            "role": "backbone",
            "backbone": backbone,
            "num_heads": module.INFO.num_heads,
            "position_embedding": module.INFO.position_embedding,
            "image_size": image_size,
            "normalisation": IMAGENET,
            "method": "opera",
            "epochs": 3,
            "run_id": "pretrain-test",
        }
        path = tmp_path / f"{backbone}.safetensors"
        save_checkpoint(path, model.state_dict(), header)
        return path

    return write

"""A small backbone with 12 heads beside the shipped ones, and checkpoints of ours to convert."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

import pretrain.backbones
from pretrain.backbones.lookup import find_backbone
from pretrain.checkpoint import save_checkpoint
from pretrain.foreign.parts.conversion import IMAGENET
from pretrain.foreign.parts.identify import backbone_shapes
from pretrain.plugins import plugin_names, shipped_names
from tests.pretrain.foreign.layouts import Official, OfficialViT, randomise, save_official

SWEEP = """\
name: imported
pretrain:
  - checkpoint: {checkpoint}
    format: moco_v3
    as: {{method: moco_v3_official, backbone: twelve_heads, epochs: 300, batch_size: 4096, dataset: digits}}
evaluate:
  - {{knn: {{recipe: knn-digits, only: {{method: moco_v3_official}}}}}}
"""


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


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A file in MoCo-v3's form, of a network that is small enough."""
    encoder = partial(OfficialViT, width=48, depth=2, heads=12, patch=4, grid=4)
    model = Official(encoder, hidden=16, dimension=8, classes=0, temperature=0.2)
    randomise(model, keep={"pos_embed"})
    return save_official(tmp_path / "vit-tiny-300ep.pth.tar", model, "vit_small")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def sweep(text: str) -> Path:
        path = tmp_path / "imported.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return sweep

"""The names of checkpoints that are neither runs nor paths."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest

from bench.launch.subjects import FileOptions, find_subject
from pretrain.errors import InputError


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model in Hugging Face's cache, as huggingface_hub lays it out; its configuration is of an unknown network."""
    cache = tmp_path / "hub"
    folder = cache / "models--timm--gigantic_net.mine" / "snapshots" / "abc123"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architecture": "gigantic_net"}', encoding="utf-8")
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text("abc123", encoding="utf-8")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return folder


@pytest.mark.parametrize("name", ["gigantic_net.mine", "timm/gigantic_net.mine"])
def test_a_name_in_the_cache_is_read_from_there(snapshot, tmp_path, name) -> None:
    with pytest.raises(InputError, match=str(snapshot)):
        find_subject(name, tmp_path / "runs", FileOptions(), {})


@pytest.mark.parametrize("name", ["timm/other", "a--b/c", "/nowhere/x", "x.pth"])
def test_another_name_is_no_checkpoint(snapshot, tmp_path, name) -> None:
    with pytest.raises(InputError, match=f"{name}: no such file or folder, and Hugging Face's cache has no timm model"):
        find_subject(name, tmp_path / "runs", FileOptions(), {})

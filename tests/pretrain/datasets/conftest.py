"""ImageNet's layouts on disk, and a place of the test's own for what is kept between runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pretrain.datasets.writers import write_imagenet, write_imagenet_shards


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "opera-bench"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_imagenet(tmp_path / "tree")
    return tmp_path / "tree"


@pytest.fixture
def shards(tmp_path: Path, tree: Path) -> Path:
    write_imagenet_shards(tmp_path / "shards", tree)
    return tmp_path / "shards"

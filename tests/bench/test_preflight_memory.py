"""A data set is checked again if a file that it is read from has changed, and only then."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.launch.preflight import require_sound_data
from bench.sweep.errors import InputError
from pretrain.datasets import find_dataset
from tests.pretrain.datasets.writers import (
    WNIDS,
    write_cifar10,
    write_flowers102,
    write_imagenet,
    write_imagenet_arrow,
    write_imagenet_shards,
    write_noise,
    write_pets,
)

LAYOUTS: dict[str, tuple[str, str]] = {
    "class folders": ("imagenet", "val/*/*.JPEG"),
    "linked class folders": ("imagenet", "val/*/*.JPEG"),
    "tar shards": ("imagenet", "*validation*.tar"),
    "Arrow files": ("imagenet", "validation/*.arrow"),
    "Arrow lists": ("imagenet", "validation/state.json"),
    "Flowers": ("flowers102", "flowers-102/jpg/image_00012.jpg"),
    "Flowers' labels": ("flowers102", "flowers-102/imagelabels.mat"),
    "Pets": ("pets", "oxford-iiit-pet/images/*_201.jpg"),
    "Pets' labels": ("pets", "oxford-iiit-pet/annotations/test.txt"),
    "CIFAR": ("cifar10", "cifar-10-batches-py/test_batch"),
}


def write_layout(layout: str, root: Path, elsewhere: Path) -> None:
    if layout == "class folders":
        write_imagenet(root)
    elif layout == "linked class folders":
        write_imagenet(elsewhere)
        root.mkdir()
        for split in ("train", "val"):
            (root / split).symlink_to(elsewhere / split)
    elif layout == "tar shards":
        write_imagenet(elsewhere)
        write_imagenet_shards(root, elsewhere)
    elif layout.startswith("Arrow"):
        pytest.importorskip("pyarrow")
        write_imagenet(elsewhere)
        write_imagenet_arrow(root, elsewhere)
    else:
        {"Flowers": write_flowers102, "Pets": write_pets, "CIFAR": write_cifar10}[layout.partition("'")[0]](root)


def rewrite(path: Path) -> None:
    """Write the bytes again, under the old modification time."""
    times = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.fixture
def checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Requires sound data of one name below ``tmp_path``; returns how often the data has been looked at by then."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    counts: dict[str, int] = {}

    def require(name: str) -> int:
        def check(root: Path | None) -> list[str]:
            counts[name] = counts.get(name, 0) + 1
            return []

        monkeypatch.setattr(find_dataset(name), "check", check)
        require_sound_data([SimpleNamespace(dataset=name)], {name: str(tmp_path / "data")})  # type: ignore[list-item]
        return counts.get(name, 0)

    return require


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_rewritten_at_its_size_and_time_is_seen(
    layout: str, checks: Callable[[str], int], tmp_path: Path
) -> None:
    name, pattern = LAYOUTS[layout]
    root = tmp_path / "data"
    write_layout(layout, root, tmp_path / "elsewhere")
    assert [checks(name), checks(name)] == [1, 1]
    rewrite(sorted(root.glob(pattern))[-1])
    assert [checks(name), checks(name)] == [2, 2]


@pytest.mark.parametrize("layout", ["class folders", "linked class folders"])
def test_a_file_that_comes_or_goes_is_seen_even_if_it_is_not_read(
    layout: str, checks: Callable[[str], int], tmp_path: Path
) -> None:
    root = tmp_path / "data"
    write_layout(layout, root, tmp_path / "elsewhere")
    assert checks("imagenet") == 1
    (root / "train" / WNIDS[0] / "notes.txt").touch()
    assert checks("imagenet") == 2
    write_noise(root / "val" / WNIDS[0] / "new.jpg", seed=1)
    assert checks("imagenet") == 3
    (root / "train" / "loose.jpg").touch()
    assert checks("imagenet") == 4
    (root / "beside.txt").touch()
    assert checks("imagenet") == 4


def test_a_changed_image_is_refused_although_its_predecessor_was_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "data"
    write_imagenet(root)
    runs: Any = [SimpleNamespace(dataset="imagenet")]
    require_sound_data(runs, {"imagenet": str(root)})
    path = sorted(root.glob("val/*/*.JPEG"))[-1]
    times, size = path.stat(), path.stat().st_size
    path.write_bytes(b"?" * size)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(InputError, match=f"{path}: can't be decoded as an image"):
        require_sound_data(runs, {"imagenet": str(root)})


def test_a_set_that_names_no_files_is_checked_every_time(
    checks: Callable[[str], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    write_imagenet(root)
    split = SimpleNamespace(fingerprint=lambda: "always the same")
    monkeypatch.setattr(find_dataset("imagenet"), "open_split", lambda *_: split)
    assert [checks("imagenet"), checks("imagenet")] == [1, 2]
    shutil.rmtree(root)
    assert checks("imagenet") == 3

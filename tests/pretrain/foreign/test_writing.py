"""A write that fails is one sentence and leaves nothing behind."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pretrain.errors import InputError
from pretrain.foreign.parts import writing
from pretrain.foreign.parts.conversion import read_checkpoint, write_checkpoint

Ours = Callable[..., Path]


def test_an_existing_output_stays_as_it_is(ours: Ours, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(ours("tiny_vit", 16))
    out = tmp_path / "there.pth"
    out.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_checkpoint(checkpoint, "timm", out)
    assert out.read_text() == "mine"


@pytest.mark.parametrize("to", ["timm.pth", "huggingface", "opera_bench"])
def test_a_write_that_breaks_leaves_nothing(
    to: str, ours: Ours, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = read_checkpoint(ours("tiny_vit", 16))
    folder = tmp_path / "out"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_checkpoint(checkpoint, to.partition(".")[0], folder / to)
    assert list(folder.iterdir()) == []


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What a full disk is to a program: the system refuses to write on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("to", ["timm.pth", "timm.safetensors", "huggingface", "opera_bench"])
def test_a_disk_that_takes_no_more_is_one_sentence_and_leaves_nothing(to: str, ours: Ours, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(ours("tiny_vit", 16))
    folder = tmp_path / "out"
    with files_of_at_most(5000), pytest.raises(InputError, match=r"can't be written \(.*File too large"):
        write_checkpoint(checkpoint, to.partition(".")[0], folder / to)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("place", ["file/x.pth", "file/deeper/x.pth", "/proc/x.pth", f"{'x' * 300}.pth"])
def test_a_place_that_can_not_be_written_to_is_one_sentence(place: str, ours: Ours, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(ours("tiny_vit", 16))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="can't be written"):
        write_checkpoint(checkpoint, "timm", tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"

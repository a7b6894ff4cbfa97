"""A split that is opened once for everybody within a block, and anew outside it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from pretrain.datasets import open_any_split, open_split, opening_once
from pretrain.errors import InputError
from tests.pretrain.datasets.writers import WNIDS, write_imagenet, write_noise


def add_image(tree: Path) -> None:
    write_noise(tree / "train" / WNIDS[0] / "new.JPEG", seed=1)


def test_within_a_block_the_images_are_those_of_the_fingerprint(tree: Path) -> None:
    with opening_once():
        fingerprint = open_any_split("imagenet", tree, "train").fingerprint()
        add_image(tree)
        images = open_split("imagenet", tree, "train")
        assert len(images) == 9
        assert images.fingerprint() == fingerprint
        with opening_once():
            assert len(open_split("imagenet", tree, "train")) == 10, "a block within begins anew"
        assert len(open_split("imagenet", tree, "train")) == 9


def test_nothing_is_left_of_a_block_that_ended_or_broke(tree: Path) -> None:
    with contextlib.suppress(InputError), opening_once():
        open_split("imagenet", tree, "train")
        open_split("imagenet", tree, "test")
    add_image(tree)
    assert len(open_split("imagenet", tree, "train")) == 10
    with opening_once():
        assert len(open_split("imagenet", tree, "train")) == 10


def test_splits_directories_and_datasets_are_told_apart(tree: Path, tmp_path: Path) -> None:
    write_imagenet(tmp_path / "other", train_per_class=1)
    with opening_once():
        sizes = [
            len(open_split("imagenet", *at)) for at in ((tree, "train"), (tree, "val"), (tmp_path / "other", "train"))
        ]
        assert sizes == [9, 6, 3]
        assert len(open_split("digits", None, "val")) != len(open_split("mnist5k", None, "val"))


def test_a_split_that_could_not_be_opened_is_tried_again(tree: Path) -> None:
    (tree / "train").rename(tree / "elsewhere")
    with opening_once():
        with pytest.raises(InputError, match="train: can't be listed"):
            open_split("imagenet", tree, "train")
        (tree / "elsewhere").rename(tree / "train")
        assert len(open_split("imagenet", tree, "train")) == 9


def test_another_thread_opens_for_itself(tree: Path) -> None:
    found: list[int] = []
    with opening_once():
        open_split("imagenet", tree, "train")
        add_image(tree)
        thread = threading.Thread(target=lambda: found.append(len(open_split("imagenet", tree, "train"))))
        thread.start()
        thread.join()
    assert found == [10]

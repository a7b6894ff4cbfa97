"""What a run records of its data is what it computes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.worker.provenance import difference_from_published
from pretrain.datasets import Split, digits, imagenet, open_split
from tests.bench.conftest import Engine
from tests.conftest import Ended

TWO = """\
name: two
pretrain:
  - {method: moco_v3, backbone: tiny_vit, dataset: digits, seed: [0, 1]}
evaluate: [probe]
"""


def test_the_images_of_the_fingerprint_are_trained_on_and_each_run_opens_its_own(
    command: Callable[..., Ended],
    write_sweep: Callable[..., Path],
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[tuple[str, Split]] = []
    trained_on: list[Split] = []

    def counted(root: Path | None, split: str, original: Callable[..., Split] = digits.open_split) -> Split:
        opened.append((split, original(root, split)))
        return opened[-1][1]

    monkeypatch.setattr("bench.launch.run_sweep.finish_sweep", lambda *_: None)
    monkeypatch.setattr(digits, "open_split", counted)
    engine.on_start = lambda _: trained_on.append(open_split("digits", None, "train"))
    ended = command("run", write_sweep(TWO), "--runs", tmp_path / "runs", "--executor", "inline", "--yes")
    assert ended.status == 0, ended.err
    # The check of the data before the launch opens both splits, then each of four runs does.
    assert [split for split, _ in opened] == ["train", "val"] * 5
    assert trained_on[0] is opened[2][1]
    assert len({id(images) for images in trained_on}) == 2


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"train": 1_281_167, "val": 50_000}, None),
        (
            {"train": 18, "val": 50_000},
            "imagenet is not the published set here: train has 18 images and not 1,281,167",
        ),
        ({}, None),
    ],
)
def test_a_part_of_a_published_set_is_told_from_it(sizes: dict[str, int], said: str | None) -> None:
    assert difference_from_published(imagenet.INFO, sizes) == said

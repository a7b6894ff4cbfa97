"""The picture of predictions: which colours, and which of them are named below."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from evaluators.dense.contact_sheet import IGNORED, palette, write_contact_sheet


@pytest.mark.parametrize("count", [11, 20, 150])
def test_no_two_classes_share_a_colour(count: int) -> None:
    colours = palette(count).astype(int)
    assert len({tuple(colour) for colour in colours}) == count
    if count <= 20:
        apart = np.abs(colours[:, None] - colours[None]).sum(axis=2) + np.eye(count, dtype=int) * 999
        assert apart.min() >= 40


def test_the_legend_has_the_classes_that_occur(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "black").save(tmp_path / "image.png")
    truth = torch.full((1, 40, 40), 1)
    truth[:, :5] = IGNORED
    sample = SimpleNamespace(
        img_path=str(tmp_path / "image.png"),
        gt_sem_seg=SimpleNamespace(data=truth),
        pred_sem_seg=SimpleNamespace(data=torch.full((1, 40, 40), 3)),
    )
    write_contact_sheet(tmp_path / "sheet.png", [sample], {"classes": ("sky", "tree", "road", "car")})
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    found = {tuple(map(int, pixel)) for pixel in sheet.reshape(-1, 3)}
    sky, tree, road, car = (tuple(map(int, colour)) for colour in palette(4))
    # The image is black, so a class is painted in 60 % of its colour, and in the legend alone in the colour itself.
    assert {tree, car, (0, 0, 0)} <= found
    assert not {sky, road} & found
    assert {tuple(int(0.6 * part) for part in colour) for colour in (tree, car)} <= found


def test_boxes_and_masks_have_the_classes_colour(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "white").save(tmp_path / "image.png")

    class Instances(SimpleNamespace):
        def __getitem__(self, keep: torch.Tensor) -> Instances:
            return Instances(**{name: value[keep] for name, value in vars(self).items()})

    def instances(label: int, **more: torch.Tensor) -> Instances:
        mask = torch.zeros(1, 40, 40, dtype=torch.bool)
        mask[:, 12:28, 12:28] = True
        box = torch.tensor([[8.0, 8.0, 32.0, 32.0]])
        return Instances(labels=torch.tensor([label]), bboxes=box, masks=mask, **more)

    class Sample(SimpleNamespace):
        def clone(self) -> Sample:
            return Sample(**vars(self))

    sample = Sample(
        img_path=str(tmp_path / "image.png"),
        gt_instances=instances(0),
        pred_instances=instances(2, scores=torch.tensor([0.2])),
    )
    write_contact_sheet(tmp_path / "sheet.png", [sample], {"classes": ("cup", "dog", "sun")})
    found = {tuple(pixel) for pixel in np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).reshape(-1, 3)}
    cup, _, sun = (tuple(map(int, colour)) for colour in palette(3))
    assert {cup, tuple(int(0.4 * 255 + 0.6 * part) for part in cup)} <= found
    assert sun not in found, "its score is too low"

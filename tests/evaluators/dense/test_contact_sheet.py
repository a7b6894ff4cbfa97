"""The picture of predictions: which colours, and which of them are named below."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from evaluators.dense.contact_sheet import HEIGHT, IGNORED, palette, write_contact_sheet


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
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    below = {tuple(map(int, pixel)) for pixel in sheet[-16:].reshape(-1, 3)}
    sky, tree, road, car = (tuple(map(int, colour)) for colour in palette(4))
    assert {tree, car} <= below
    assert not {sky, road} & below
    assert sheet.shape[0] > HEIGHT

"""One picture of what was predicted beside what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

Pixels = NDArray[np.uint8]

HEIGHT = 160
"""Of an image on the sheet, in pixels."""
SHOWN_SCORE = 0.3
"""Detections below this are left off the sheet; they count for AP."""
IGNORED = 255
_GAP = 4
_TITLE_HEIGHT = 16
_TITLES = ("image", "ground truth", "prediction")


def write_contact_sheet(path: Path, samples: Sequence[Any], dataset_meta: Mapping[str, Any]) -> None:
    """A row for each sample: the image, the ground truth over it, the prediction over it.

    Parameters
    ----------
    samples
        Data samples as the library's model gave them back, with ground truth.
    dataset_meta
        The library's, with a ``palette`` of one RGB colour a class.
    """
    palette = np.array(dataset_meta["palette"], dtype=np.uint8).reshape(-1, 3)
    rows = [[_scaled(panel) for panel in _panels(sample, palette)] for sample in samples]
    if not rows:
        return
    widths = [max(row[column].width for row in rows) for column in range(len(_TITLES))]
    sheet = Image.new("RGB", (sum(widths) + _GAP * 2, _TITLE_HEIGHT + len(rows) * (HEIGHT + _GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    left = 0
    for column, title in enumerate(_TITLES):
        draw.text((left + 2, 2), title, fill="black")
        for number, row in enumerate(rows):
            sheet.paste(row[column], (left, _TITLE_HEIGHT + number * (HEIGHT + _GAP)))
        left += widths[column] + _GAP
    sheet.save(path)


def _panels(sample: Any, palette: Pixels) -> tuple[Image.Image, Image.Image, Image.Image]:
    with Image.open(sample.img_path) as file:
        image = np.asarray(file.convert("RGB"))
    if hasattr(sample, "pred_sem_seg"):
        truth, predicted = (np.asarray(part.data.squeeze(0)) for part in (sample.gt_sem_seg, sample.pred_sem_seg))
        return Image.fromarray(image), _painted(image, truth, palette), _painted(image, predicted, palette)
    predicted = sample.pred_instances
    predicted = predicted[predicted.scores >= SHOWN_SCORE]
    return (
        Image.fromarray(image),
        _boxed(image, sample.gt_instances, palette),
        _boxed(image, predicted, palette),
    )


def _painted(image: Pixels, labels: NDArray[Any], palette: Pixels) -> Image.Image:
    """Every pixel half its class's colour; unlabelled ones black."""
    colours = np.zeros((*labels.shape, 3), dtype=np.uint8)
    known = labels != IGNORED
    colours[known] = palette[labels[known]]
    return Image.fromarray((image // 2 + colours // 2).astype(np.uint8))


def _boxed(image: Pixels, instances: Any, palette: Pixels) -> Image.Image:
    """Every object's mask half its class's colour, with its box."""
    painted = image // 2
    masks = instances.masks if isinstance(instances.masks, Tensor) else instances.masks.masks
    labels = [int(label) for label in instances.labels]
    for label, mask in zip(labels, np.asarray(masks, dtype=bool), strict=True):
        if mask.shape == image.shape[:2]:  # ground truth is kept at the size the model saw
            painted[mask] = image[mask] // 2 + palette[label] // 2
    canvas = Image.fromarray(painted.astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    boxes = getattr(instances.bboxes, "tensor", instances.bboxes)
    for label, box in zip(labels, boxes.tolist(), strict=True):
        draw.rectangle(box, outline=tuple(int(value) for value in palette[label]))
    return canvas


def _scaled(image: Image.Image) -> Image.Image:
    size = (max(round(image.width * HEIGHT / image.height), 1), HEIGHT)
    return image.resize(size, Image.Resampling.NEAREST if image.height < HEIGHT else Image.Resampling.BILINEAR)

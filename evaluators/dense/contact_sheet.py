"""Draws one picture with images, ground truth and predictions side by side."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

Pixels = NDArray[np.uint8]
Palette = NDArray[np.uint8]

COLOURS = (
    (0, 200, 160), (200, 0, 255), (230, 230, 0), (200, 0, 0), (120, 80, 160),
    (160, 40, 80), (255, 160, 80), (200, 230, 255), (160, 120, 80), (255, 80, 230),
    (0, 0, 255), (0, 255, 160), (80, 120, 120), (200, 160, 200), (160, 255, 230),
    (120, 120, 160), (255, 120, 0), (40, 160, 230), (230, 255, 120), (120, 0, 200),
)  # fmt: skip
"""Each colour is as far as possible from the ones before it and from black: at least 23 in CIELAB, and 15 as seen with
protanopia, deuteranopia or tritanopia (Machado et al. 2009)."""
_GOLDEN = 0.618034
_TINTS = ((0.9, 0.95), (0.45, 1.0), (0.9, 0.65))
"""Pairs of saturation and value, used in turn."""

INCHES = 1.8
"""Width and height of one image's panel on the sheet."""
SHOWN_SCORE = 0.3
"""Lowest score of a drawn detection; AP counts the others too."""
IGNORED = 255
_COLOUR_SHARE = 0.6
"""Weight of the class colour in a painted pixel; the image has the rest."""


def write_contact_sheet(path: Path, samples: Sequence[Any], dataset_meta: Mapping[str, Any]) -> None:
    """Write one row per sample: image, ground truth, prediction. A legend with the classes' colours is at the bottom.

    Parameters
    ----------
    samples
        Data samples as the library's model returns them, with ground truth.
    dataset_meta
        The library's metadata; ``classes`` holds the names.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    if not samples:
        return
    names: Sequence[str] = dataset_meta["classes"]
    colours = palette(len(names))
    detections = hasattr(samples[0], "pred_instances")
    samples = [_confident(sample) for sample in samples] if detections else samples
    titles = ("image", "ground truth", f"prediction, scores from {SHOWN_SCORE}" if detections else "prediction")
    figure = Figure(figsize=(INCHES * len(titles), INCHES * len(samples) + 1), layout="compressed")
    grid = figure.subplots(len(samples), len(titles), squeeze=False)
    for row, sample in zip(grid, samples, strict=True):
        for axes, panel in zip(row, _panels(sample, colours), strict=True):
            axes.imshow(panel, interpolation="nearest")
            axes.set_axis_off()
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=8)
    shown = sorted(set().union(*map(_labels, samples)))
    legend = [Patch(facecolor=colours[label] / 255, edgecolor="black", label=names[label]) for label in shown]
    if not detections:
        legend.append(Patch(facecolor="black", label="not labelled"))
    figure.legend(handles=legend, loc="outside lower center", ncols=4, fontsize=7, frameon=False)
    figure.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})


def _confident(sample: Any) -> Any:
    shown = sample.clone()
    shown.pred_instances = sample.pred_instances[sample.pred_instances.scores >= SHOWN_SCORE]
    return shown


def _labels(sample: Any) -> set[int]:
    """Return the classes in the ground truth or the prediction."""
    if hasattr(sample, "pred_sem_seg"):
        parts = [np.unique(np.asarray(part.data)) for part in (sample.gt_sem_seg, sample.pred_sem_seg)]
    else:
        parts = [np.asarray(part.labels) for part in (sample.gt_instances, sample.pred_instances)]
    return {int(label) for part in parts for label in part} - {IGNORED}


def _panels(sample: Any, colours: Palette) -> tuple[Pixels, Pixels, Pixels]:
    with Image.open(sample.img_path) as file:
        image = np.asarray(file.convert("RGB"))
    if hasattr(sample, "pred_sem_seg"):
        truth, predicted = (np.asarray(part.data.squeeze(0)) for part in (sample.gt_sem_seg, sample.pred_sem_seg))
        return image, _painted(image, truth, colours), _painted(image, predicted, colours)
    return image, _boxed(image, sample.gt_instances, colours), _boxed(image, sample.pred_instances, colours)


def _painted(image: Pixels, labels: NDArray[Any], colours: Palette) -> Pixels:
    """Return the image with every pixel blended with its class's colour, unlabelled pixels with black."""
    over = np.zeros((*labels.shape, 3), dtype=np.uint8)
    known = labels != IGNORED
    over[known] = colours[labels[known]]
    return _mixed(image, over)


def _boxed(image: Pixels, instances: Any, colours: Palette) -> Pixels:
    """Return the darkened image with every object's box, and its mask blended with its class's colour."""
    painted = image // 2
    masks = instances.masks if isinstance(instances.masks, Tensor) else instances.masks.masks
    labels = [int(label) for label in instances.labels]
    for label, mask in zip(labels, np.asarray(masks, dtype=bool), strict=True):
        if mask.shape == image.shape[:2]:  # ground-truth masks can have the size of the model's input instead
            painted[mask] = _mixed(image[mask], colours[label])
    canvas = Image.fromarray(painted.astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    boxes = getattr(instances.bboxes, "tensor", instances.bboxes)
    for label, box in zip(labels, boxes.tolist(), strict=True):
        draw.rectangle(box, outline=tuple(int(value) for value in colours[label]))
    return np.asarray(canvas)


def _mixed(image: Pixels, over: Pixels) -> Pixels:
    mixed: Pixels = ((1 - _COLOUR_SHARE) * image + _COLOUR_SHARE * over).astype(np.uint8)
    return mixed


def palette(num_classes: int) -> Palette:
    """Return (``num_classes``, 3) RGB colours: the fixed ones or, if there are more classes, golden-ratio hues."""
    if num_classes <= len(COLOURS):
        return np.array(COLOURS[:num_classes], dtype=np.uint8)
    hues = [(index * _GOLDEN % 1, *_TINTS[index % len(_TINTS)]) for index in range(num_classes)]
    return np.array([[round(255 * part) for part in colorsys.hsv_to_rgb(*hue)] for hue in hues], dtype=np.uint8)

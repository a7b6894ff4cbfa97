"""Colours of classes on a contact sheet, distinguishable for colour-blind readers too."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

Palette = NDArray[np.uint8]

FIXED = (
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


def palette(num_classes: int) -> Palette:
    """Return (``num_classes``, 3) RGB colours: the fixed ones or, if there are more classes, golden-ratio hues."""
    if num_classes <= len(FIXED):
        return np.array(FIXED[:num_classes], dtype=np.uint8)
    hues = [(index * _GOLDEN % 1, *_TINTS[index % len(_TINTS)]) for index in range(num_classes)]
    return np.array([[round(255 * part) for part in colorsys.hsv_to_rgb(*hue)] for hue in hues], dtype=np.uint8)

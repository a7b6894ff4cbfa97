"""Small sets in the layouts of ADE20K and of COCO, right but for one change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pretrain.datasets.coco import CATEGORIES

Tables = dict[str, Any]
Mask = NDArray[np.uint8]
SIDE = 32
COUNTS = {"train": 4, "val": 2}
ADE_PARTS = {"train": "training", "val": "validation"}


def write_ade(root: Path, change: Callable[[str, Mask], Any] = lambda split, mask: mask) -> Path:
    """``ADEChallengeData2016/`` with walls (1) and buildings (2); ``change`` gives each split's masks as saved."""
    folder = root / "ADEChallengeData2016"
    for split, part in ADE_PARTS.items():
        for kind in ("images", "annotations"):
            (folder / kind / part).mkdir(parents=True)
        for number in range(1, COUNTS[split] + 1):
            name = f"ADE_{split}_{number:08d}"
            mask = np.full((SIDE, SIDE), 2, np.uint8)
            mask[:, : 8 + 2 * number] = 1
            mask[:3] = 0
            _noise(number).save(folder / "images" / part / f"{name}.jpg")
            changed = change(split, mask)
            saved = changed if isinstance(changed, Image.Image) else Image.fromarray(changed)
            path = folder / "annotations" / part / f"{name}.png"
            # Pillow writes no grey PNG of 2 or 4 bits, so such a mask comes as the file it was opened from.
            source = getattr(saved, "fp", None)
            saved.save(path) if source is None else path.write_bytes(source.getvalue())
    return folder


def write_coco(root: Path, change: Callable[[str, Tables], Any] = lambda split, tables: None) -> Path:
    """``coco/`` with two objects in every image; ``change`` alters each split's tables."""
    folder = root / "coco"
    (folder / "annotations").mkdir(parents=True)
    for split, count in COUNTS.items():
        images, annotations = [], []
        (folder / f"{split}2017").mkdir()
        for number in range(1, count + 1):
            name = f"{number:012d}.jpg"
            _noise(number).save(folder / f"{split}2017" / name)
            images.append({"id": number, "file_name": name, "height": SIDE, "width": SIDE})
            for place in range(2):
                left, top, width, height = 2 + 14 * place, 4 + number, 12, 14
                right, bottom = left + width, top + height
                annotations.append({
                    "id": len(annotations) + 1, "image_id": number, "category_id": place + 1, "iscrowd": 0,
                    "bbox": [left, top, width, height], "area": width * height,
                    "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
                })  # fmt: skip
        categories = [{"id": number, "name": name} for number, name in enumerate(CATEGORIES, start=1)]
        tables: Tables = {"images": images, "annotations": annotations, "categories": categories}
        change(split, tables)
        (folder / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(tables))
    return folder


def _noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))

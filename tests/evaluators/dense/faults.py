"""Faults of ADE20K and COCO files by name: how each is made, and what the check says of it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.evaluators.dense.variants import SIDE, Mask, Tables


def in_val(change: Callable[[Tables], Any]) -> Callable[[str, Tables], Any]:
    return lambda split, tables: change(tables) if split == "val" else None


def each(**values: Any) -> Callable[[str, Tables], Any]:
    """Changes of the first annotation of val."""
    return in_val(lambda tables: tables["annotations"][0].update(values))


def without(key: str, table: str = "annotations") -> Callable[[str, Tables], Any]:
    return in_val(lambda tables: [entry.pop(key) for entry in tables[table]])


def as_crowd(tables: Tables) -> None:
    whole = {"counts": [0, SIDE * SIDE], "size": [SIDE, SIDE]}
    for annotation in tables["annotations"]:
        annotation.update(iscrowd=1, segmentation=whole)


def with_palette(mask: Mask) -> Image.Image:
    image = Image.fromarray(mask)
    image.putpalette([value for index in range(256) for value in (index, 0, 0)])
    return image


def four_bits(mask: Mask) -> Image.Image:
    """A grey PNG of 4 bits, whose values Pillow multiplies by 17."""
    rows = b"".join(
        b"\0" + bytes(a << 4 | b for a, b in zip(row[::2], row[1::2], strict=True)) for row in mask.tolist()
    )
    header = struct.pack(">IIBBBBB", mask.shape[1], mask.shape[0], 4, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    encoded = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return Image.open(io.BytesIO(b"\x89PNG\r\n\x1a\n" + encoded))


ADE_FAULTS: dict[str, tuple[Callable[[str, Mask], Any], str]] = {
    "reduced": (
        lambda split, mask: np.where(mask == 0, 255, mask - 1).astype(np.uint8),
        r"training/ADE_train_0+1\.png: contains the value 255; allowed: 0 .* 1 to 150 .*; if 255 marks unlabelled",
    ),
    "rgb": (lambda split, mask: np.stack([mask] * 3, 2), r"training/ADE_train_0+1\.png: has 3 channels"),
    "val_rgb": (
        lambda split, mask: np.stack([mask] * 3, 2) if split == "val" else mask,
        r"validation/ADE_val_0+1\.png: has 3 channels; a mask has one channel of 8 bits",
    ),
    "palette": (lambda split, mask: with_palette(mask), r"ADE_train_0+1\.png: is a palette image"),
    "16_bits": (lambda split, mask: mask.astype(np.uint16), r"ADE_train_0+1\.png: has 16 bits per pixel"),
    "4_bits": (
        lambda split, mask: four_bits(mask),
        r"training/ADE_train_0+1\.png: has 4 bits per pixel; a mask has one channel of 8 bits",
    ),
    "1_bit": (lambda split, mask: Image.fromarray(mask > 1), r"ADE_train_0+1\.png: has 1 bit per pixel"),
    "val_value_151": (
        lambda split, mask: np.where(mask == 2, 151 if split == "val" else 2, mask).astype(np.uint8),
        r"validation/ADE_val_0+1\.png: contains the value 151; allowed: 0 for unlabelled pixels, 1 to 150",
    ),
    "val_size": (
        lambda split, mask: mask[:-1] if split == "val" else mask,
        rf"validation/ADE_val_0+1\.png: has {SIDE}×{SIDE - 1} pixels, but its image has {SIDE}×{SIDE}",
    ),
    "val_unlabelled": (
        lambda split, mask: mask * 0 if split == "val" else mask,
        r"annotations/validation: no mask has a labelled pixel",
    ),
}
COCO_FAULTS: dict[str, tuple[Callable[[str, Tables], Any], str]] = {
    "all_crowd": (in_val(as_crowd), "every annotation is of a crowd"),
    "ids_from_0": (
        in_val(lambda tables: [entry.update(id=entry["id"] - 1) for entry in tables["annotations"]]),
        "annotation 0 has the id 0, which pycocotools reads as 'no match'; number the annotations from 1",
    ),
    "repeated_ids": (each(id=2), "annotation 2 has an id that an earlier annotation has"),
    "other_sizes": (
        in_val(lambda tables: [image.update(height=64, width=16) for image in tables["images"]]),
        rf"val2017/0+1\.jpg: has {SIDE}×{SIDE} pixels, but instances_val2017\.json says 16×64",
    ),
    "no_segmentation": (without("segmentation"), "annotation 1 has no 'segmentation'"),
    "empty_segmentation": (each(segmentation=[]), "annotation 1 has an empty 'segmentation'"),
    "two_points": (each(segmentation=[[1, 1, 9, 9]]), "annotation 1 has a polygon of 2 points; three are needed"),
    "odd_polygon": (each(segmentation=[[1, 1, 9, 9, 1, 5, 3]]), "annotation 1 has a polygon of 7 coordinates"),
    "words_in_polygon": (each(segmentation=[[1, 1, 9, "9", 1, 5]]), "annotation 1 has a polygon that is not a list"),
    "far_polygon": (each(segmentation=[[1, 1, 1e8, 9, 1, 5]]), "annotation 1 has a polygon with points far outside"),
    "flat_polygon": (each(segmentation=[1, 1, 9, 9, 1, 5]), "annotation 1 has a polygon that is not a list"),
    "run_lengths_of_another_size": (
        each(segmentation={"counts": [4, 60], "size": [8, 8]}),
        rf"annotation 1 has run lengths of 8×8 pixels, but its image has {SIDE}×{SIDE}",
    ),
    "run_lengths_too_short": (
        each(segmentation={"counts": [4, 60], "size": [SIDE, SIDE]}),
        "annotation 1 has run lengths that add up to 64 pixels and not to 1,024",
    ),
    "line": (each(segmentation=[[1, 1, 5, 5, 9, 9]]), "annotation 1 has polygons that enclose nothing of its image"),
    "outside": (each(segmentation=[[-9, -9, -5, -9, -5, -5]]), "annotation 1 has polygons that enclose nothing of its"),
    "empty_run_lengths": (
        each(segmentation={"counts": [SIDE * SIDE], "size": [SIDE, SIDE]}),
        "annotation 1 has run lengths that cover no pixel",
    ),
    "float_id": (each(id=1.0), "entry 0 of 'annotations' has no valid id; allowed: integers from 1 on, each once"),
    "float_image_id": (each(image_id=1.0), "annotation 1 has an invalid 'image_id'; ids and sizes are whole numbers"),
    "negative_box": (each(bbox=[9, 9, -4, 5]), "annotation 1 has a box of negative size, -4×5 pixels"),
    "empty_box": (each(bbox=[9, 9, 4, 0]), "annotation 1 has a box of 4×0 pixels"),
    "corners_for_sizes": (
        each(bbox=[20, 20, 30, 30]),
        rf"annotation 1 has a box that reaches 18 pixels beyond its image \({SIDE}×{SIDE}\)",
    ),
    "no_box": (without("bbox"), "annotation 1 has no 'bbox'"),
    "no_area": (without("area"), "annotation 1 has no 'area'"),
    "train_no_area": (
        lambda split, tables: [a.pop("area") for a in tables["annotations"]] if split == "train" else None,
        r"instances_train2017\.json: annotation 1 has no 'area'",
    ),
    "iscrowd_2": (each(iscrowd=2), "annotation 1 has an iscrowd that is neither 0 nor 1"),
    "swapped_categories": (
        in_val(lambda tables: tables["categories"].insert(0, tables["categories"].pop(1))),
        "'categories' must list the 80 classes in order, but has 'bicycle' where 'person' belongs",
    ),
    "unknown_category": (each(category_id=81), "annotation 1 has category_id 81, which is not in the table 'categ"),
    "unknown_image": (each(image_id=81), "annotation 1 has image_id 81, which is not in the table 'images'"),
    "nothing_annotated": (in_val(lambda tables: tables["annotations"].clear()), "its table 'annotations' is empty"),
}
FAULTS = {
    **{("ade20k", name): fault for name, fault in ADE_FAULTS.items()},
    **{("coco", name): fault for name, fault in COCO_FAULTS.items()},
}

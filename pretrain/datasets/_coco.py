"""The layout of COCO 2017: ``train2017/``, ``val2017/`` and ``annotations/instances_{train,val}2017.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pretrain.datasets._checks import locate
from pretrain.datasets._dense import IMAGE_SUFFIX, AnnotatedFiles, file_names
from pretrain.datasets._files import PackedPaths
from pretrain.datasets.interface import DatasetInfo
from pretrain.errors import InputError

FOLDER = "coco"
_TABLES = ("images", "annotations", "categories")


def image_folder(split: str) -> str:
    return f"{split}2017"


def annotation_file(split: str) -> str:
    return f"annotations/instances_{split}2017.json"


def open_coco_split(info: DatasetInfo, root: Path | None, split: str) -> AnnotatedFiles:
    """Lists the images; the annotation file is not parsed, which for COCO takes gigabytes.

    Raises
    ------
    InputError
        Missing directories or annotation file.
    """
    directory = locate(info, root, FOLDER, ("annotations", "train2017", "val2017"))
    annotations = directory / annotation_file(split)
    if not annotations.is_file():
        raise InputError(f"{annotations}: no such annotation file")
    folder = image_folder(split)
    names = file_names(directory / folder, IMAGE_SUFFIX)
    return AnnotatedFiles(
        directory, PackedPaths(f"{folder}/{name}" for name in names), PackedPaths([annotation_file(split)])
    )


def check_coco(info: DatasetInfo, root: Path | None) -> list[str]:
    """Counts, the annotation files' tables, every image that they name, and boxes of known images and categories."""
    problems = []
    for split, published in info.sizes.items():
        try:
            files = open_coco_split(info, root, split)
            path = files.directory / annotation_file(split)
            tables = read_annotations(path)
        except InputError as error:
            problems.append(str(error))
            continue
        if len(files) != published:
            problems.append(f"{info.name} {split}: {len(files):,} images, the published split has {published:,}")
        if len(tables["categories"]) != info.num_classes:
            problems.append(f"{path}: has {len(tables['categories'])} categories, there should be {info.num_classes}")
        problems += _table_problems(path, tables, {Path(name).name for name in files.images})
    return list(dict.fromkeys(problems))


def read_annotations(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The tables of an annotation file.

    Raises
    ------
    InputError
        Not readable as JSON, a table missing, or one of them empty.
    """
    try:
        tables: dict[str, list[dict[str, Any]]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable annotation file ({error})") from error
    for name in _TABLES:
        if not isinstance(tables, dict) or not isinstance(tables.get(name), list):
            raise InputError(f"{path}: has no table {name!r}; a COCO annotation file has {', '.join(_TABLES)}")
        if not tables[name]:
            raise InputError(f"{path}: its table {name!r} is empty")
    return tables


def _table_problems(path: Path, tables: dict[str, list[dict[str, Any]]], names: set[str]) -> list[str]:
    try:
        listed = {image["file_name"] for image in tables["images"]}
        images = {image["id"] for image in tables["images"]}
        categories = {category["id"] for category in tables["categories"]}
        stray = next((a for a in tables["annotations"] if a["image_id"] not in images), None)
        foreign = next((a for a in tables["annotations"] if a["category_id"] not in categories), None)
    except (KeyError, TypeError) as error:
        return [f"{path}: an entry lacks {error}"]
    problems = []
    if missing := sorted(listed - names):
        problems.append(f"{path}: names {len(missing):,} images that are missing, the first {missing[0]}")
    if surplus := sorted(names - listed):
        problems.append(f"{path}: does not name {len(surplus):,} of the images, the first {surplus[0]}")
    if stray is not None:
        problems.append(f"{path}: annotation {stray.get('id')} is of image {stray['image_id']}, which is not listed")
    if foreign is not None:
        problems.append(f"{path}: annotation {foreign.get('id')} is of category {foreign['category_id']}, not listed")
    return problems

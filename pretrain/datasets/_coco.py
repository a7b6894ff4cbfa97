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
_KEYS = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id",)}
_TABLES = tuple(_KEYS)


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
    directory = _directory(info, root)
    annotations = directory / annotation_file(split)
    if not annotations.is_file():
        raise InputError(f"{annotations}: no such annotation file")
    folder = image_folder(split)
    names = file_names(directory / folder, IMAGE_SUFFIX)
    return AnnotatedFiles(
        directory, PackedPaths(f"{folder}/{name}" for name in names), PackedPaths([annotation_file(split)])
    )


def check_coco(info: DatasetInfo, root: Path | None) -> list[str]:
    """Counts, the annotation files' tables, every image that they name, and what every annotation is of."""
    try:
        directory = _directory(info, root)
    except InputError as error:
        return [str(error)]
    problems = []
    for split, published in info.sizes.items():
        try:
            names = set(file_names(directory / image_folder(split), IMAGE_SUFFIX))
        except InputError as error:
            problems.append(str(error))
            names = set()
        if names and len(names) != published:
            problems.append(f"{info.name} {split}: {len(names):,} images, the published split has {published:,}")
        path = directory / annotation_file(split)
        try:
            tables = _parsed(path)
        except InputError as error:
            problems.append(str(error))
            continue
        problems += _table_faults(path, tables)
        entries = {name: _entries(tables, name) for name in _TABLES}
        if entries["categories"] and len(entries["categories"]) != info.num_classes:
            problems.append(f"{path}: has {len(entries['categories'])} categories, there should be {info.num_classes}")
        problems += _entry_problems(path, entries, names)
    return problems


def read_annotations(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The tables of an annotation file.

    Raises
    ------
    InputError
        Not readable as JSON, a table missing, or one of them empty.
    """
    tables: dict[str, list[dict[str, Any]]] = _parsed(path)
    if faults := _table_faults(path, tables):
        raise InputError(faults[0])
    return tables


def _directory(info: DatasetInfo, root: Path | None) -> Path:
    return locate(info, root, FOLDER, ("annotations", "train2017", "val2017"))


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable annotation file ({error})") from error


def _table_faults(path: Path, tables: Any) -> list[str]:
    faults = []
    for name in _TABLES:
        if not isinstance(tables, dict) or not isinstance(tables.get(name), list):
            faults.append(f"{path}: has no table {name!r}; a COCO annotation file has {', '.join(_TABLES)}")
        elif not tables[name]:
            faults.append(f"{path}: its table {name!r} is empty")
    return faults


def _entries(tables: Any, name: str) -> list[Any]:
    entries = tables.get(name) if isinstance(tables, dict) else None
    return entries if isinstance(entries, list) else []


def _entry_problems(path: Path, entries: dict[str, list[Any]], names: set[str]) -> list[str]:
    """A sentence for each entry that is incomplete or leads nowhere, and for each image that is missing or not named.

    What isn't there at all, images or a table, has its own sentence already, and nothing is compared with it.
    """
    problems = []
    complete: dict[str, list[dict[str, Any]]] = {}
    for table, keys in _KEYS.items():
        complete[table] = []
        for number, entry in enumerate(entries[table]):
            lacking = [key for key in keys if not isinstance(entry, dict) or not isinstance(entry.get(key), int | str)]
            if lacking:
                problems.append(f"{path}: entry {number} of {table!r} lacks {', '.join(map(repr, lacking))}")
            else:
                complete[table].append(entry)
    listed = {image["file_name"] for image in complete["images"]}
    if names and listed:
        problems += [f"{path}: names image {name}, which is missing" for name in sorted(listed - names)]
        problems += [f"{path}: does not name image {name}" for name in sorted(names - listed)]
    for table, key, word in (("images", "image_id", "image"), ("categories", "category_id", "category")):
        if known := {entry["id"] for entry in complete[table]}:
            problems += [
                f"{path}: annotation {annotation.get('id')} is of {word} {annotation[key]}, which is not listed"
                for annotation in complete["annotations"]
                if annotation[key] not in known
            ]
    return problems

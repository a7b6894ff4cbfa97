"""Reads the layout of COCO 2017: ``train2017/``, ``val2017/`` and ``annotations/instances_{train,val}2017.json``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pretrain.datasets._checks import locate, size_problems
from pretrain.datasets._coco_entries import Fault, annotation_fault, category_fault, image_fault, tolerated
from pretrain.datasets._dense import (
    IMAGE_SUFFIX,
    AnnotatedFiles,
    file_names,
    printable,
    shortened,
    unread_entries,
)
from pretrain.datasets._files import PackedPaths
from pretrain.datasets._pixels import image_size, inspect_in_threads
from pretrain.datasets.interface import DatasetInfo
from pretrain.errors import InputError

FOLDER = "coco"
_TABLES = ("images", "annotations", "categories")


def image_folder(split: str) -> str:
    return f"{split}2017"


def annotation_file(split: str) -> str:
    return f"annotations/instances_{split}2017.json"


def open_coco_split(info: DatasetInfo, root: Path | None, split: str) -> AnnotatedFiles:
    """Return the image and annotation paths of a split; does not parse the annotations, which would take gigabytes.

    Raises
    ------
    InputError
        A directory or the annotation file is missing.
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


def check_coco(info: DatasetInfo, root: Path | None, names: Sequence[str]) -> list[str]:
    """Return the faults of both splits: counts, annotation tables and entries, and every image's header and size.

    Parameters
    ----------
    names
        Names of the categories, in the order in which the library numbers its labels.
    """
    try:
        directory = _directory(info, root)
    except InputError as error:
        return [str(error)]
    problems = []
    for split in info.sizes:
        folder = directory / image_folder(split)
        try:
            files = set(file_names(folder, IMAGE_SUFFIX))
            problems += size_problems(info, split, len(files))
        except InputError as error:
            problems.append(str(error))
            files = set()
        else:
            problems += unread_entries(folder, IMAGE_SUFFIX)
        problems += _split_problems(directory / annotation_file(split), folder, files, names)
    return problems


def _split_problems(path: Path, folder: Path, files: set[str], names: Sequence[str]) -> list[str]:
    try:
        tables = _parsed(path)
    except InputError as error:
        return [str(error)]
    problems = _table_faults(path, tables)
    images, image_problems = _complete(path, tables, "images", image_fault)
    categories, category_problems = _complete(path, tables, "categories", category_fault)
    problems += image_problems + category_problems
    if categories:
        problems += _order_problems(path, categories, names)
    problems += _file_problems(path, folder, files, images)
    return problems + _annotation_problems(path, _entries(tables, "annotations"), images, categories)


def read_annotations(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of an annotation file.

    Raises
    ------
    InputError
        The file is not readable JSON, or a table is missing or empty.
    """
    tables: dict[str, list[dict[str, Any]]] = _parsed(path)
    if faults := _table_faults(path, tables):
        raise InputError(faults[0])
    return tables


def _directory(info: DatasetInfo, root: Path | None) -> Path:
    return locate(info, root, FOLDER, ("annotations", "train2017", "val2017"))


def _parsed(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such annotation file")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise InputError(f"{path}: not a readable annotation file (lists nested too deeply)") from error
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


def _complete(
    path: Path, tables: Any, table: str, find_fault: Callable[[Any], Fault | None]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a table's entries that are complete and have unique ids, and one sentence for each other entry."""
    complete: dict[int, dict[str, Any]] = {}
    problems = []
    for number, entry in enumerate(_entries(tables, table)):
        if fault := find_fault(entry):
            problems.append(f"{path}: entry {number} of {table!r} {fault.words}")
        elif entry["id"] in complete:
            problems.append(f"{path}: entry {number} of {table!r} has the id {entry['id']}, which an earlier one has")
        else:
            complete[entry["id"]] = entry
    return list(complete.values()), list(shortened(path, problems))


def _order_problems(path: Path, categories: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """Check the order of categories: the library numbers labels in the file's order, but takes names from its own."""
    for entry, expected in zip_longest(categories, names):
        listed = None if entry is None else entry["name"]
        if listed != expected:
            found = "nothing" if listed is None else repr(listed)
            difference = "an entry too many" if expected is None else f"{found} where {expected!r} belongs"
            return [f"{path}: its table 'categories' must list the {len(names)} classes in order, but has {difference}"]
    return []


def _annotation_problems(
    path: Path, annotations: list[Any], images: Sequence[dict[str, Any]], categories: Sequence[dict[str, Any]]
) -> list[str]:
    sizes = {image["id"]: (image["width"], image["height"]) for image in images}
    known = {category["id"] for category in categories}
    seen: set[int] = set()
    by_kind: dict[str, list[str]] = {}
    degenerate: Counter[str] = Counter()
    sound = crowds = 0
    for number, entry in enumerate(annotations):
        fault = annotation_fault(entry, sizes, known)
        if fault is None and entry["id"] in seen:
            fault = Fault("repeated id", "has an id that an earlier annotation has; pycocotools would drop one of them")
        if fault is None:
            seen.add(entry["id"])
            sound += 1
            crowds += bool(entry.get("iscrowd"))
            continue
        degenerate[fault.kind] += fault.degenerate
        by_kind.setdefault(fault.kind, []).append(f"{path}: {_entry_name(number, entry)} {fault.words}")
    problems: list[str] = []
    for kind, lines in by_kind.items():
        if not degenerate[kind] or not tolerated(degenerate.total(), len(annotations)):
            problems += shortened(path, lines)
    if sound and sound == crowds and not problems:
        problems.append(f"{path}: every annotation is of a crowd (iscrowd 1), which is not judged, so no AP is defined")
    return problems


def _file_problems(path: Path, folder: Path, files: set[str], images: Sequence[dict[str, Any]]) -> list[str]:
    """Return a sentence for each image that is missing, unlisted, undecodable or of another size than listed."""
    if not files or not images:
        return []
    counted = Counter(image["file_name"] for image in images)
    listed = set(counted)

    def inspect(image: dict[str, Any]) -> str | None:
        file = folder / image["file_name"]
        try:
            width, height = image_size(file)
        except ValueError as error:
            return f"{file}: can't be decoded as an image ({error})"
        if (width, height) == (image["width"], image["height"]):
            return None
        return f"{file}: has {width}×{height} pixels, but {path.name} says {image['width']}×{image['height']}"

    present = [image for image in images if image["file_name"] in files]
    return [
        *shortened(path, [f"{path}: lists image {printable(n)}, but there is no such file in {folder}"
                           for n in sorted(listed - files)]),
        *shortened(path, [f"{path}: does not list image {printable(name)}" for name in sorted(files - listed)]),
        *shortened(path, [f"{path}: lists image {printable(n)} {count} times" for n, count in counted.items()
                           if count > 1]),
        *shortened(path, inspect_in_threads(inspect, present)),
    ]  # fmt: skip


def _entry_name(number: int, entry: Any) -> str:
    identifier = entry.get("id") if isinstance(entry, dict) else None
    is_printable = type(identifier) is int and 0 <= identifier < 2**63
    return f"annotation {identifier}" if is_printable else f"entry {number} of 'annotations'"

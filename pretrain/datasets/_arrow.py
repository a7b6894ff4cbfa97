"""Reads Hugging Face datasets written by ``save_to_disk``: Arrow files with encoded images and class numbers.

``dataset_dict.json`` names the splits; a split's ``state.json`` lists its Arrow files and its ``dataset_info.json`` the
classes. The files are mapped into memory, so a row is one read and processes share the pages. pyarrow alone reads them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from pretrain.datasets._images import EncodedImages, file_kind
from pretrain.errors import InputError

DICTIONARY = "dataset_dict.json"
STATE = "state.json"
INFORMATION = "dataset_info.json"
SPLITS = {"train": ("train",), "val": ("validation", "val")}
IMAGE_COLUMN, LABEL_COLUMN = "image", "label"


@dataclass(frozen=True, eq=False)
class ArrowImages(EncodedImages):
    """A split in Arrow files, in the files' order.

    Parameters
    ----------
    arrow_files
        Files of the split's folder, at least one.
    ends
        Number of rows up to and including each file.
    """

    arrow_files: tuple[Path, ...]
    ends: array[int]
    labels: array[int]
    num_classes: int

    def _content(self, index: int) -> bytes:
        file, row = self._place(index)
        content: bytes = _encoded_images(file)[row].as_py()
        return content

    def describe(self, index: int) -> str:
        file, row = self._place(index)
        return f"{file}, row {row}"

    def fingerprint(self) -> str:
        """Return the SHA-256 of one line per image, in index order: size in bytes, label."""
        import pyarrow.compute as pc

        digest = hashlib.sha256()
        sizes = (size for file in self.arrow_files for size in pc.binary_length(_encoded_images(file)).to_pylist())
        for size, label in zip(sizes, self.labels, strict=True):
            digest.update(b"%d\t%d\n" % (size, label))
        return digest.hexdigest()

    def files(self) -> list[str]:
        folder = self.arrow_files[0].parent
        beside = (folder.parent / DICTIONARY, folder / STATE, folder / INFORMATION)
        return [str(path) for path in (*beside, *self.arrow_files)]

    def _place(self, index: int) -> tuple[Path, int]:
        position = range(len(self))[index]
        number = bisect_right(self.ends, position)
        return self.arrow_files[number], position - (self.ends[number - 1] if number else 0)


def open_saved_split(directory: Path, split: str) -> ArrowImages:
    """Return a split of the dataset that was saved in ``directory``.

    Raises
    ------
    InputError
        pyarrow is not installed, a file is missing or damaged, or there is no column of images or of classes.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise InputError(
            f"{directory}: a Hugging Face dataset is read with pyarrow: pip install 'opera-bench[arrow]'"
        ) from error

    folder = next((directory / name for name in SPLITS[split] if (directory / name).is_dir()), None)
    if folder is None:
        raise InputError(f"{directory}: has no split {split}; expected a folder {' or '.join(SPLITS[split])}")
    files = tuple(folder / name for name in _file_names(folder))
    classes = _class_names(folder)
    labels, ends = array("q"), []
    for file in files:
        try:
            found = _column(file, LABEL_COLUMN)
            # Damaged offsets would make pyarrow read outside the file and crash the process.
            found.validate(full=True)
            _column(file, IMAGE_COLUMN).validate(full=True)
            images = _encoded_images(file)
            labels.extend(found.to_pylist())
        except (OSError, pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{file}: can't be read as an Arrow file of labelled images ({error})") from error
        if not pa.types.is_binary(images.type) and not pa.types.is_large_binary(images.type):
            raise InputError(f"{file}: its images are {images.type}; allowed: binary")
        if images.null_count:
            raise InputError(
                f"{file}: {images.null_count:,} of its images have a path and no bytes; save them with their bytes"
            )
        ends.append(len(found))
    for row, label in enumerate(labels):
        if not 0 <= label < len(classes):
            where = ArrowImages(files, array("q", accumulate(ends)), labels, len(classes)).describe(row)
            raise InputError(f"{where}: label {label}; allowed: 0…{len(classes) - 1}")
    return ArrowImages(files, array("q", accumulate(ends)), labels, len(classes))


def _file_names(folder: Path) -> list[str]:
    try:
        names = [str(entry["filename"]) for entry in _read_json(folder / STATE)["_data_files"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / STATE}: lists no _data_files") from error
    if not names:
        raise InputError(f"{folder / STATE}: lists no _data_files")
    for name in names:
        if Path(name).name != name or "\0" in name:
            raise InputError(f"{folder / STATE}: lists {name!r}; allowed: names of files beside it")
        if kind := file_kind(folder / name):
            raise InputError(f"{folder / name}: is {kind}, not an Arrow file")
    return names


def _class_names(folder: Path) -> Sequence[str]:
    try:
        names = _read_json(folder / INFORMATION)["features"][LABEL_COLUMN]["names"]
    except (KeyError, TypeError):
        names = None
    if not isinstance(names, list) or not names:
        raise InputError(f"{folder / INFORMATION}: features has no ClassLabel {LABEL_COLUMN!r} with names")
    return names


def _read_json(path: Path) -> Any:
    if kind := file_kind(path):
        raise InputError(f"{path}: is {kind}, not a JSON file")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: can't be read ({error})") from error


def _column(file: Path, name: str) -> Any:
    table = _table(file)
    if name not in table.column_names:
        raise InputError(f"{file}: has no column {name!r}; its columns: {', '.join(table.column_names)}")
    return table.column(name)


@functools.cache
def _table(file: Path) -> Any:
    """Return a file's table, mapped into memory, so that only accessed rows are read. Cached; forks inherit it."""
    import pyarrow as pa

    return pa.ipc.open_stream(pa.memory_map(str(file))).read_all()


@functools.cache
def _encoded_images(file: Path) -> Any:
    import pyarrow.compute as pc

    return pc.struct_field(_column(file, IMAGE_COLUMN), "bytes")

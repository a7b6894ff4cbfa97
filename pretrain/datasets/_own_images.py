"""Reads a directory of a user's own images: one folder per class, strictly, so that no image is left out in silence.

``train/<class>/<image>`` and ``val/<class>/<image>`` (or ``validation/``)
    Both splits must have the same classes.
``<class>/<image>``
    One image in ``VAL_SHARE`` of each class, at least one, is for validation: those whose path ``<class>/<image>`` has
    the smallest SHA-256. So the split depends on names alone, and an added image moves at most one other image of its
    class.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pretrain.datasets._files import FileImages, PackedPaths
from pretrain.datasets._folder import IMAGE_EXTENSIONS
from pretrain.datasets._images import file_kind
from pretrain.errors import InputError, shorten

VAL_SHARE = 5
"""Without ``val/``, one image in this many is for validation."""
CONTENT_IMAGES = 500
"""Images of a split whose content is part of its fingerprint; reading 500 photographs takes about a second."""
VAL_FOLDERS = ("val", "validation")
_SYSTEM_FILES = ("thumbs.db", "desktop.ini")
"""Files that Windows writes into folders of images; their names in lower case."""
_LISTING_THREADS = 16


class ClassImages(FileImages):
    """A split of own images."""

    def fingerprint(self) -> str:
        """Return the SHA-256 of names, sizes and labels, and of the content of ``CONTENT_IMAGES`` spread images.

        Own images often share names and sizes with others, such as 0.bmp to 99.bmp of one camera; published sets don't.
        """
        digest = hashlib.sha256(super().fingerprint().encode())
        count = min(len(self), CONTENT_IMAGES)
        for index in (number * len(self) // count for number in range(count)):
            try:
                with self.path(index).open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise InputError(f"{self.path(index)}: can't be read ({error.strerror})") from error
        return digest.hexdigest()


@dataclass(frozen=True)
class OwnImages:
    """A directory of own images.

    Parameters
    ----------
    classes
        Names of the class folders, sorted; labels are positions in it.
    splits
        Split → its images: the directory of the class folders, and each class's file names, sorted.
    is_split_by_rule
        Whether the directory has no ``val/``, so that ``VAL_SHARE`` decides.
    ignored
        Hidden files and folders, and files of Windows such as Thumbs.db.
    unused
        Files and folders beside ``train/`` and ``val/``, or beside the class folders, that are not read.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, tuple[Path, Mapping[str, Sequence[str]]]]
    is_split_by_rule: bool
    ignored: tuple[Path, ...]
    unused: tuple[Path, ...]

    def open(self, split: str) -> ClassImages:
        directory, names = self.splits[split]
        labels = array("q")
        for label, name in enumerate(self.classes):
            labels.extend([label] * len(names[name]))
        paths = PackedPaths(f"{name}/{image}" for name in self.classes for image in names[name])
        return ClassImages(directory, paths, labels, num_classes=len(self.classes))


@dataclass(frozen=True)
class _Entries:
    """The content of one folder, by kind; names are sorted."""

    folders: tuple[str, ...]
    images: tuple[str, ...]
    others: tuple[str, ...]
    ignored: tuple[str, ...]


def read_own_images(root: Path) -> OwnImages:
    """Return what ``root`` holds; reads names only.

    Raises
    ------
    InputError
        A folder is missing or unreadable; images lie outside class folders, or folders inside them; a file in a class
        folder is no image by its extension or no regular file; a class has no images, or only one split has it; there
        are fewer than two classes; or a name is not UTF-8.
    """
    top = _entries(root)
    _refuse_loose_images(root, top)
    ignored = [root / name for name in top.ignored]
    train = root / "train"
    if "train" in top.folders and _entries(train).folders:
        val = _val_folder(root, top)
        unused = [root / name for name in (*top.folders, *top.others) if name not in ("train", val.name)]
        found = {"train": train, "val": val}
        names = {}
        for split, directory in found.items():
            names[split] = _read_classes(directory, ignored, unused)
        _require_same_classes(found, names)
        splits = {split: (directory, names[split]) for split, directory in found.items()}
        return OwnImages(tuple(names["train"]), splits, False, tuple(ignored), tuple(unused))
    for name in VAL_FOLDERS:
        if name in top.folders and _entries(root / name).folders:
            raise InputError(f"{root}: has {name}/ with class folders, but no train/ with class folders; add train/")
    reserved = [name for name in ("train", *VAL_FOLDERS, "test") if name in top.folders]
    if len(reserved) > 1:  # one alone may be a class: a railway train
        raise InputError(
            f"{root}: has {' and '.join(reserved)} without class folders; put the images of each class into "
            f"{reserved[0]}/<class>/"
        )
    unused = [root / name for name in top.others]
    names_by_class = _read_classes(root, ignored, [])
    by_rule = {name: _split_by_rule(root, name, images) for name, images in names_by_class.items()}
    splits = {
        split: (root, {name: chosen[number] for name, chosen in by_rule.items()})
        for number, split in enumerate(("train", "val"))
    }
    return OwnImages(tuple(names_by_class), splits, True, tuple(ignored), tuple(unused))


def _val_folder(root: Path, top: _Entries) -> Path:
    found = [name for name in VAL_FOLDERS if name in top.folders]
    if len(found) > 1:
        raise InputError(f"{root}: holds both val/ and validation/; keep one")
    if not found:
        test = "; if test/ is for validation, rename it to val/" if "test" in top.folders else ""
        raise InputError(
            f"{root}: has train/ but no val/; add val/ with the same classes, or give {root / 'train'}, of which one "
            f"image in {VAL_SHARE} is then for validation{test}"
        )
    return root / found[0]


def _read_classes(directory: Path, ignored: list[Path], unused: list[Path]) -> dict[str, tuple[str, ...]]:
    """Return the names of the images of each class folder; add other files to ``ignored`` and ``unused``."""
    top = _entries(directory)
    _refuse_loose_images(directory, top)
    if len(top.folders) < 2:
        found = f"only one class folder, {top.folders[0]}" if top.folders else "no class folders"
        raise InputError(f"{directory}: holds {found}; expected one folder of images per class, at least two")
    with ThreadPoolExecutor(_LISTING_THREADS) as pool:
        listed = list(pool.map(_entries, (directory / name for name in top.folders)))
    _refuse_linked_classes(directory, top.folders)
    ignored += [directory / name for name in top.ignored if directory / name not in ignored]
    unused += [directory / name for name in top.others]
    names = {}
    for name, entries in zip(top.folders, listed, strict=True):
        folder = directory / name
        if entries.folders:
            raise InputError(
                f"{folder / entries.folders[0]}: is a folder inside the class folder {name}; put its images into "
                f"{name}/ itself, or give the directory whose folders are the classes"
            )
        if entries.others:
            more = f" and {len(entries.others) - 1:,} more files" if len(entries.others) > 1 else ""
            raise InputError(
                f"{folder / entries.others[0]}{more}: its extension is none of {', '.join(IMAGE_EXTENSIONS)}; "
                "remove or convert it"
            )
        if not entries.images:
            raise InputError(f"{folder}: class folder without images; remove it or add images")
        ignored += [folder / each for each in entries.ignored]
        names[name] = entries.images
    return names


def _refuse_linked_classes(directory: Path, names: Sequence[str]) -> None:
    """Refuse a class folder that is a link to another one: its images would have two labels."""
    found: dict[Path, str] = {}
    for name in names:
        if (other := found.setdefault((directory / name).resolve(), name)) != name:
            raise InputError(f"{directory / name}: is the same folder as class {other}; remove the link")


def _refuse_loose_images(directory: Path, entries: _Entries) -> None:
    if entries.images:
        raise InputError(
            f"{directory}: {len(entries.images):,} images lie outside the class folders, such as {entries.images[0]}; "
            "move each into the folder of its class"
        )


def _require_same_classes(found: Mapping[str, Path], names: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    for split, other in (("val", "train"), ("train", "val")):
        if lacking := sorted(names[split].keys() - names[other].keys()):
            raise InputError(
                f"{found[split] / lacking[0]}: class {lacking[0]!r} is only in {found[split].name}/, not in "
                f"{found[other].name}/; both need images of every class"
            )


def _split_by_rule(root: Path, name: str, images: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a class's images for training and for validation, each sorted."""
    if len(images) < 2:
        raise InputError(f"{root / name}: has one image; a class needs at least two, one of them for validation")
    val = frozenset(first_by_hash(name, images, max(1, round(len(images) / VAL_SHARE))))
    return tuple(each for each in images if each not in val), tuple(each for each in images if each in val)


def first_by_hash(name: str, images: Sequence[str], count: int) -> list[str]:
    """Return the ``count`` images of class ``name`` whose path has the smallest SHA-256, sorted by name."""
    return sorted(sorted(images, key=lambda image: hashlib.sha256(f"{name}/{image}".encode()).digest())[:count])


def _entries(folder: Path) -> _Entries:
    """Return the content of a folder.

    Raises
    ------
    InputError
        It can't be listed, a name is not UTF-8, or an entry is neither a folder nor a regular file.
    """
    kinds: dict[str, list[str]] = {"folders": [], "images": [], "others": [], "ignored": []}
    where = folder
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                where = Path(entry.path)
                kinds[_kind(entry)].append(entry.name)
    except OSError as error:
        raise InputError(f"{where}: can't be read ({error.strerror}); expected one folder per class") from error
    return _Entries(**{kind: tuple(sorted(names)) for kind, names in kinds.items()})


def _kind(entry: os.DirEntry[str]) -> str:
    name = entry.name
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{shorten(repr(os.fsencode(entry.path)))}: the name is not UTF-8; rename it") from None
    if name.startswith(".") or name.lower() in _SYSTEM_FILES:
        return "ignored"
    if entry.is_dir():
        return "folders"
    if not entry.is_file():
        raise InputError(f"{entry.path}: is {file_kind(Path(entry.path)) or 'no regular file'}; remove it")
    return "images" if name.lower().endswith(IMAGE_EXTENSIONS) else "others"

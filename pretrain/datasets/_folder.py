"""Reads the ImageFolder layout: one folder per class, with images in it and in its subfolders."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pretrain.datasets._files import FileImages, PackedPaths
from pretrain.datasets._images import file_kind
from pretrain.errors import InputError

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""torchvision's list, copied because importing torchvision takes longer than listing ImageNet."""

_LISTING_THREADS = 16


def has_class_folders(directory: Path) -> bool:
    """Return whether ``directory`` contains folders that are not hidden."""
    with os.scandir(directory) as entries:
        return any(entry.is_dir() and not entry.name.startswith(".") for entry in entries)


def class_folders(directory: Path) -> tuple[str, ...]:
    """Return the names of the class folders in ``directory``, sorted; hidden ones are skipped.

    Raises
    ------
    InputError
        The directory is missing, unreadable, or has no class folders.
    """
    try:
        with os.scandir(directory) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
            names = sorted(entry.name for entry in visible if entry.is_dir())
    except OSError as error:
        raise InputError(f"{directory}: can't be listed ({error.strerror}); expected one folder per class") from error
    if not names:
        loose = next((entry.name for entry in visible if _has_image_extension(entry.name)), None)
        found = f"images such as {loose}, but no class folders" if loose else "no class folders"
        raise InputError(f"{directory}: holds {found}; expected {directory.name}/<class>/<image>.JPEG")
    return tuple(names)


def index_class_folders(directory: Path, classes: Sequence[str]) -> FileImages:
    """Return the images of ``directory``, labelled by their folder's position in ``classes``.

    Images are ordered by class, then folder, then name, like torchvision's ImageFolder. Only names are read, so
    ImageNet takes seconds.

    Raises
    ------
    InputError
        A folder is not among ``classes``, has no images, or can't be listed; or an image is not a regular file.
    """
    label_of = {name: label for label, name in enumerate(classes)}
    folders = class_folders(directory)
    for folder in folders:
        if folder not in label_of:
            raise InputError(f"{directory / folder}: class {folder!r} is not among the training set's classes")
    with ThreadPoolExecutor(_LISTING_THREADS) as pool:
        names_by_folder = list(pool.map(_image_names, (directory / folder for folder in folders)))
    labels = array("q")
    for folder, names in zip(folders, names_by_folder, strict=True):
        labels.extend([label_of[folder]] * len(names))
    paths = PackedPaths(
        f"{folder}/{name}" for folder, names in zip(folders, names_by_folder, strict=True) for name in names
    )
    return FileImages(directory, paths, labels, num_classes=len(classes))


def unread_files(directory: Path) -> list[str]:
    """Return one sentence for each folder in ``directory`` (at any depth) with files that are not read as images.

    Such files are outside a class folder, have no image extension, or are hidden and have one.
    """
    with os.scandir(directory) as entries:
        loose = sorted(entry.name for entry in entries if not entry.is_dir() and not entry.name.startswith("."))
    problems = [_not_read(directory, loose, "outside the class folders")] if loose else []
    for name in class_folders(directory):
        for folder, entries_here in _walk(directory / name):
            others = [entry.name for entry in entries_here if not entry.is_dir() and not _is_image(entry.name)]
            # Ignore hidden files without an image extension, such as .DS_Store.
            if others := sorted(o for o in others if not o.startswith(".") or _has_image_extension(o)):
                problems.append(_not_read(folder, others, f"not images ({', '.join(IMAGE_EXTENSIONS)}) or hidden"))
    return problems


def _not_read(folder: Path, names: Sequence[str], reason: str) -> str:
    return f"{folder}: {len(names):,} files are not read, such as {names[0]}; they are {reason}"


def _image_names(class_folder: Path) -> list[str]:
    """Return the paths of all images in a class folder and its subfolders, relative to the class folder."""
    listed: list[tuple[str, list[str]]] = []
    for folder, entries in _walk(class_folder):
        images = [entry for entry in entries if _is_image(entry.name)]
        for entry in images:
            if not entry.is_file():
                kind = file_kind(Path(entry.path)) or "no regular file"
                raise InputError(f"{entry.path}: is {kind}, not an image file")
        listed.append((str(folder), sorted(entry.name for entry in images)))
    start = len(str(class_folder)) + 1
    names = [os.path.join(folder, name)[start:] for folder, here in sorted(listed) for name in here]  # noqa: PTH118
    if not names:
        raise InputError(f"{class_folder}: class folder without images; allowed: {', '.join(IMAGE_EXTENSIONS)}")
    return names


def _walk(top: Path) -> Iterator[tuple[Path, list[os.DirEntry[str]]]]:
    """Yield the folder and its subfolders, each with its entries; skip hidden folders, follow links.

    Raises
    ------
    InputError
        A folder can't be listed, or a link to a folder leads back to a folder that contains it.
    """
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(top, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        try:
            status = folder.stat()
            with os.scandir(folder) as listing:
                entries = list(listing)
            inner = [e for e in entries if not e.name.startswith(".") and not _is_image(e.name) and e.is_dir()]
        except OSError as error:
            raise InputError(f"{folder}: can't be listed ({error.strerror})") from error
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            raise InputError(f"{folder}: is a link to a folder that holds it, which has no end; remove the link")
        yield folder, entries
        waiting += [(Path(entry.path), above | {identity}) for entry in reversed(inner)]


def _is_image(name: str) -> bool:
    return _has_image_extension(name) and not name.startswith(".")


def _has_image_extension(name: str) -> bool:
    return name.lower().endswith(IMAGE_EXTENSIONS)

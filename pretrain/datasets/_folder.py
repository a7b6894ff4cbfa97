"""The ImageFolder layout: one folder per class, images directly inside it."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pretrain.datasets._files import FileImages, PackedPaths
from pretrain.errors import InputError

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_LISTING_THREADS = 16


def has_class_folders(directory: Path) -> bool:
    """Whether ``directory``, which can be listed, holds folders that are not hidden."""
    with os.scandir(directory) as entries:
        return any(entry.is_dir() and not entry.name.startswith(".") for entry in entries)


def class_folders(directory: Path) -> tuple[str, ...]:
    """Names of the class folders in ``directory``, sorted; hidden ones are skipped.

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
        loose = next((entry.name for entry in visible if _is_image_name(entry.name)), None)
        found = f"images such as {loose}, but no class folders" if loose else "no class folders"
        raise InputError(f"{directory}: holds {found}; expected {directory.name}/<class>/<image>.JPEG")
    return tuple(names)


def index_class_folders(directory: Path, classes: Sequence[str]) -> FileImages:
    """Index the images of ``directory``, labelled by their folder's position in ``classes``.

    Images come class by class, sorted by name within a class. Only names are read, so ImageNet takes seconds.

    Raises
    ------
    InputError
        A folder is not among ``classes``, holds no images, or can't be listed.
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


def _image_names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if _is_image_name(entry.name))
    except OSError as error:
        raise InputError(f"{folder}: can't be listed ({error.strerror})") from error
    if not names:
        raise InputError(f"{folder}: class folder without images; allowed: {', '.join(IMAGE_EXTENSIONS)}")
    return names


def _is_image_name(name: str) -> bool:
    return name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")

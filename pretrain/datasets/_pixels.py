"""Finds faults of single image and mask files; reads pixels only if the header does not show the fault."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from pretrain.datasets._images import has_more_than_8_bits

if TYPE_CHECKING:
    from PIL.Image import Image

_THREADS = 8
_IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
"""Formats that every OpenCV build decodes; the libraries load images with OpenCV, whatever the suffix."""
_JPEG_END = b"\xff\xd9"
_ORIENTATION = 0x0112
"""EXIF's tag of the camera's orientation."""
_SIDEWAYS = range(5, 9)
"""Values of that tag for images stored rotated by 90 degrees."""
_REDUCED_UNLABELLED = 255
"""Value of unlabelled pixels in masks whose classes count from 0."""
_MASK_MODE = "L"
"""Pillow's mode of one 8-bit channel."""
_MODES = {
    "1": "has 1 bit per pixel",
    "P": "is a palette image, whose indices need not be classes",
    "I": "has 32 bits per pixel",
    "F": "has floating point pixels",
}

Size = tuple[int, int]
_Item = TypeVar("_Item")


def inspect_in_threads(
    inspect: Callable[[_Item], str | None], items: Iterable[_Item], *, threads: int = _THREADS
) -> list[str]:
    """Return the sentences that ``inspect`` returns, in the items' order; runs in threads."""
    with ThreadPoolExecutor(threads) as pool:
        return [problem for problem in pool.map(inspect, items) if problem]


def image_size(path: Path) -> Size:
    """Return width and height in pixels as the libraries load the image, after EXIF rotation.

    Reads only the header; a JPEG file without an end marker is decoded, because it may be truncated.

    Raises
    ------
    ValueError
        Not a regular file, not decodable, or more than 8 bits; the message is the reason.
    """
    with _opened(path, _IMAGE_FORMATS) as image:
        if has_more_than_8_bits(image) or image.mode in ("I", "F"):
            raise ValueError("its samples have more than 8 bits; convert it to 8 bits")
        if image.format in ("JPEG", "MPO") and not _has_jpeg_end(path):
            _decode(image)
        width, height = image.size
        # Reading EXIF data parses the header again, so do it only for files that have some.
        sideways = "exif" in image.info and image.getexif().get(_ORIENTATION) in _SIDEWAYS
    return (height, width) if sideways else (width, height)


def mask_problem(image_path: Path, mask_path: Path, num_classes: int) -> tuple[str | None, bool]:
    """Return the fault of a mask or its image, naming the file, or None; and whether any pixel has a class."""
    try:
        expected = image_size(image_path)
    except ValueError as error:
        return f"{image_path}: can't be decoded as an image ({error})", False
    try:
        with _opened(mask_path) as mask:
            if mask.format != "PNG":
                return f"{mask_path}: is a {mask.format} file; a mask is a PNG file, whose values are exact", False
            if fault := _mode_fault(mask):
                return f"{mask_path}: {fault}; a mask has one channel of 8 bits", False
            if mask.size != expected:
                return f"{mask_path}: has {_size(mask.size)} pixels, but its image has {_size(expected)}", False
            _decode(mask)
            largest = cast("tuple[int, int]", mask.getextrema())[1]
            if largest > num_classes:
                allowed = f"0 for unlabelled pixels, 1 to {num_classes} for the classes"
                hint = "; if 255 marks unlabelled pixels, add 1 to every value and write 0 for 255"
                hint = hint if largest == _REDUCED_UNLABELLED else ""
                return f"{mask_path}: contains the value {largest}; allowed: {allowed}{hint}", True
    except ValueError as error:
        return f"{mask_path}: can't be decoded as a mask ({error})", False
    return None, bool(largest > 0)


def _mode_fault(mask: Image) -> str | None:
    if mask.mode == _MASK_MODE:
        # Pillow scales 2-bit and 4-bit values to the range of 8 bits: 1 becomes 85 or 17.
        narrow = next((layout for tile in getattr(mask, "tile", ()) if ";" in (layout := str(tile[3]))), None)
        return narrow and f"has {narrow.partition(';')[2]} bits per pixel"
    channels = len(mask.getbands())
    if channels > 1:
        return f"has {channels} channels"
    return _MODES.get(mask.mode, "has 16 bits per pixel" if mask.mode.startswith("I;16") else f"has mode {mask.mode}")


@contextmanager
def _opened(path: Path, formats: tuple[str, ...] | None = None) -> Iterator[Image]:
    """Yield a file's image with its header read; every failure is a ValueError."""
    from PIL import Image

    if not path.is_file():  # opening a FIFO would wait for a writer
        raise ValueError("not a regular file" if path.exists() else "no such file")
    try:
        image = Image.open(path, formats=formats)
    except Exception as error:  # on a broken file Pillow's readers raise many types of errors
        reason = f"allowed: {', '.join(formats)}" if formats else ""
        raise ValueError("; ".join(filter(None, (_reason(error), reason)))) from error
    largest = Image.MAX_IMAGE_PIXELS
    if largest and image.width * image.height > largest:
        image.close()
        raise ValueError(f"{_size(image.size)} pixels are more than {largest:,}")
    with image:
        yield image


def _decode(image: Image) -> None:
    try:
        image.load()
    except Exception as error:  # on a broken file Pillow's decoders raise many types of errors
        raise ValueError(_reason(error)) from error


def _has_jpeg_end(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-len(_JPEG_END), os.SEEK_END)
            return file.read() == _JPEG_END
    except OSError:
        return False


def _reason(error: Exception) -> str:
    """Return the error in one line; for an unknown format, without the path that Pillow repeats."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "not an image file"
    return " ".join(str(error).split()) or type(error).__name__


def _size(size: Size) -> str:
    return f"{size[0]}×{size[1]}"

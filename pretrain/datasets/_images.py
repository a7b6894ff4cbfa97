"""Decodes images as 8-bit RGB, from image files and from bytes.

Pillow decodes, and ``convert("RGB")`` converts, as in torchvision's loader: transparency is dropped, an animation
gives its first frame, EXIF orientation is ignored. Images of more than 8 bits are treated differently: ``convert``
clips values at 255, which makes nearly every pixel white. Here unsigned samples keep their upper 8 bits, as Pillow
does for 16-bit RGB, and samples without a known range are refused.
"""

from __future__ import annotations

import io
import os
import stat
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pretrain.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000")
"""Formats allowed whatever the extension. Pillow's others run programs (EPS) or are not used for photographs."""

_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 258, 262, 284, 339
"""TIFF tags. Photometric value 0 means that 0 is white."""
_SIGNED, _SEPARATE = 2, 2

_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_TAIL_BYTES = 512
_END_BYTES = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
"""Bytes that end a complete file. If they are missing, the file may still be complete: data may be appended."""

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def decode_rgb(path: Path) -> Image:
    """Return one image file, fully decoded, as RGB.

    Raises
    ------
    InputError
        Not a regular file, unreadable, truncated, not an image, or samples of unknown range; the message names the
        file.
    """
    with _open_regular(path) as file:
        return _decode(file, str(path))


def decode_rgb_bytes(content: bytes, where: str) -> Image:
    """Return an image in memory, fully decoded, as RGB; raises like ``decode_rgb``, with ``where`` as the path."""
    return _decode(io.BytesIO(content), where)


def inspect_file(path: Path) -> bool:
    """Return whether the image's samples have more than 8 bits, according to its header.

    Raises
    ------
    InputError
        As in ``decode_rgb``; but an image whose header and end are right is not decoded.
    """
    with _open_regular(path) as file:
        return _inspect(file, str(path))


class EncodedImages:
    """Base of a split whose images are stored inside larger files. Subclasses return an image's bytes and its place."""

    labels: array[int]

    def _content(self, index: int) -> bytes:
        raise NotImplementedError

    def describe(self, index: int) -> str:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.labels)

    def label(self, index: int) -> int:
        return self.labels[index]

    def image(self, index: int) -> Image:
        return decode_rgb_bytes(self._content(index), self.describe(index))

    def inspect(self, index: int) -> bool:
        return _inspect(io.BytesIO(self._content(index)), self.describe(index))


def file_kind(path: Path) -> str | None:
    """Return the kind of ``path``, such as ``a FIFO``, if it is not a readable regular file; otherwise None."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - once an image
    except FileNotFoundError:
        return "a link to a file that is not there" if path.is_symlink() else None
    except OSError as error:
        return f"a file whose type can't be read ({error.strerror})"
    if stat.S_ISREG(mode):
        return None
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "no regular file")


def has_more_than_8_bits(image: Image) -> bool:
    """Return whether the header states more than 8 bits; Pillow opens such colour images as RGB and drops low bits."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return True
    tags: Any = getattr(image, "tag_v2", {})
    layouts: list[Any] = [tile[3] for tile in getattr(image, "tile", ())]
    if image.format == "PNG":
        return any(str(layout).endswith(";16B") for layout in layouts)
    if image.format == "PPM":
        return any(isinstance(layout, tuple) and layout[1] > 255 for layout in layouts)
    return bool(max(tags.get(_BITS_PER_SAMPLE, (8,))) > 8)


def _open_regular(path: Path) -> IO[bytes]:
    # Check before opening: opening a FIFO would wait for a writer forever.
    if kind := file_kind(path):
        raise InputError(f"{path}: is {kind}, not an image file")
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such image") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from error


def _decode(file: IO[bytes], where: str) -> Image:
    try:
        with _open_image(file, where) as image:
            if image.mode == "I" or image.mode.startswith("I;16"):
                return _keep_upper_bits(image).convert("RGB")
            return image.convert("RGB")
    except InputError:
        raise
    except Exception as error:  # on broken input Pillow's decoders raise many types of errors
        raise InputError(f"{where}: can't be decoded as an image ({error})") from error


def _inspect(file: IO[bytes], where: str) -> bool:
    try:
        with _open_image(file, where) as image:
            is_deep = has_more_than_8_bits(image)
            end = _END_BYTES.get(image.format or "")
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        is_whole = end is not None and end in file.read()
        file.seek(0)
    except InputError:
        raise
    except Exception as error:  # as in _decode
        raise InputError(f"{where}: can't be decoded as an image ({error})") from error
    if not is_whole:
        _decode(file, where)
    return is_deep


def _open_image(file: IO[bytes], where: str) -> Image:
    """Return an image whose header is read and whose samples can be converted to 8 bits.

    Raises
    ------
    InputError
        Not an image, too many pixels, or samples without a known range.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        file.seek(0)
        begins = file.read(12)
        if begins[:4] in _TIFF_BEGINNINGS:
            raise InputError(
                f"{where}: is a TIFF file with samples that can't be read, such as signed or 64-bit ones; convert it "
                "to an 8-bit PNG"
            ) from error
        found = f"begins with {begins!r}" if begins else "is empty"
        raise InputError(
            f"{where}: can't be decoded as an image (it {found}); allowed formats: {', '.join(_FORMATS)}"
        ) from error
    largest = Image.MAX_IMAGE_PIXELS
    if largest and image.width * image.height > largest:
        raise InputError(f"{where}: has {image.width}×{image.height} pixels; allowed: {largest:,} in all; shrink it")
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode == "L" and tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED:
        raise InputError(f"{where}: its samples are signed integers; convert it to unsigned 8 bits")
    if tags.get(_PLANES) == _SEPARATE and max(tags.get(_BITS_PER_SAMPLE, (1,))) > 8:
        # Pillow would read the bytes of such planes as 8-bit samples.
        raise InputError(f"{where}: its planes of more than 8 bits can't be read; convert it to 8 bits")
    is_unsigned_16 = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if image.mode in ("I", "F") and not is_unsigned_16:
        samples = "floating-point numbers" if image.mode == "F" else "signed or 32-bit integers"
        raise InputError(
            f"{where}: its samples are {samples} (mode {image.mode}), whose black and white are not known; "
            "convert it to 8 bits, such as an 8-bit PNG"
        )
    return image


def _keep_upper_bits(image: Image) -> Image:
    """Return an 8-bit grey image; Pillow has already scaled PGM files with other maxima to 65,535."""
    import numpy as np
    from PIL import Image

    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    pixels = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    return Image.fromarray(255 - pixels if tags.get(_PHOTOMETRIC) == 0 else pixels)

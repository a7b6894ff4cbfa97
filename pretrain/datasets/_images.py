"""Decoding images, from files of their own and from stretches of larger ones."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from pretrain.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


def decode_rgb(path: Path) -> Image:
    """Decode one image file, whole, as RGB.

    Raises
    ------
    InputError
        The file is missing, truncated or no image; the message names it.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such image") from error
    except Exception as error:  # on a broken file Pillow's decoders raise whatever they run into
        raise InputError(f"{path}: can't be decoded as an image ({error})") from error


def decode_rgb_bytes(content: bytes, where: str) -> Image:
    """Decode an image that is in memory, whole, as RGB.

    Raises
    ------
    InputError
        Truncated or no image; the message begins with ``where``.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.convert("RGB")
    except Exception as error:  # on broken input Pillow's decoders raise whatever they run into
        raise InputError(f"{where}: can't be decoded as an image ({error})") from error

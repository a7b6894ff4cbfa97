"""Decoding image files."""

from __future__ import annotations

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

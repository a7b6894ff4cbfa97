"""Recognises released files that can't be read safely, and says who converts them to what. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path

from pretrain.errors import InputError

_TENSORFLOW = (
    "a TensorFlow checkpoint, such as SimCLR's authors release, which only TensorFlow reads; convert it where that is "
    "installed (SimCLR v1: tonylins/simclr-converter, v2: Separius/SimCLRv2-Pytorch) and import the result with format "
    "torchvision and normalisation none, because SimCLR's pixels are in [0, 1]; its max-pool pads right and below only "
    "(SAME), torchvision's on all sides, so features differ from the original's"
)
_BYOL = (
    "a pickle of BYOL's official code (dill, haiku, jax), and loading it runs code; convert it with "
    "ajtejankar/byol-convert, which takes the online network, and import the result with format torchvision; its "
    "convolutions pad as TensorFlow's (SAME), and with torchvision's padding a linear probe has about 70 %, not 74 %"
)
_TENSORFLOW_FILE = re.compile(r".*\.(index|meta|data-\d{5}-of-\d{5})|saved_model\.pb")
_ENDS_OF_FILE_BYTES = 1 << 16
"""Bytes at the beginning and the end of a file that are searched: a pickle's first key, a zip archive's names."""


def refuse_unreadable(path: Path) -> None:
    """Check that ``path`` is not a released checkpoint that can't be read safely.

    Raises
    ------
    InputError
        It is one of TensorFlow's checkpoints (a file, a folder, an archive or a prefix of files), or BYOL's pickle.
    """
    if _is_tensorflow(path):
        raise InputError(f"{path}: {_TENSORFLOW}")
    if path.is_file() and _is_byol(path):
        raise InputError(f"{path}: {_BYOL}")


def _is_tensorflow(path: Path) -> bool:
    if path.is_dir():
        return any(_TENSORFLOW_FILE.fullmatch(file.name) for file in path.iterdir())
    if _TENSORFLOW_FILE.fullmatch(path.name) or path.with_name(f"{path.name}.index").is_file():
        return True
    if path.suffix != ".zip" or not path.is_file():
        return False
    names = _last_bytes(path)
    return b".ckpt" in names and b".index" in names


def _is_byol(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_ENDS_OF_FILE_BYTES)
    return head.startswith(b"\x80") and b"experiment_state" in head


def _last_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-min(_ENDS_OF_FILE_BYTES, path.stat().st_size), 2)
        return file.read()

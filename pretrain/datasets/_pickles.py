"""Safely reads pickles of plain values and uint8 arrays.

CIFAR is published as pickles, and Python's unpickler runs any function that a file names. This one imports nothing: it
maps the five names that NumPy arrays need to its own functions and refuses all others.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pretrain.errors import InputError


def read_plain_pickle(path: Path) -> Any:
    """Return the content of a pickle of dicts, lists, strings, numbers and uint8 arrays; Python 2's strings become str.

    Raises
    ------
    InputError
        The file is missing, damaged, or names anything else.
    """
    try:
        return _resolve(_PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load())
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from error
    except Exception as error:  # on damaged input pickle raises many types of errors
        raise InputError(f"{path}: not a readable batch file ({error})") from error


class _Global:
    """The replacement of a name in a pickle. Slots keep the pickle from changing it."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it tries to change a global")


class _PickledDtype:
    __slots__ = ("code",)

    def __init__(self, code: str, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Ignore byte order and field layout, which one-byte items don't have."""


class _PickledArray:
    """An array under construction: NumPy pickles an empty one first, then its state."""

    __slots__ = ("array",)

    def __init__(self, *_: object) -> None:
        self.array: Any = None

    def __setstate__(self, state: tuple[int, tuple[int, ...], _PickledDtype, bool, str | bytes]) -> None:
        import numpy as np

        _, shape, dtype, is_fortran_ordered, content = state
        if dtype.code not in ("u1", "|u1"):
            raise pickle.UnpicklingError(f"an array of type {dtype.code}, not of bytes")
        raw = content.encode("latin1") if isinstance(content, str) else content
        self.array = np.frombuffer(raw, dtype=np.uint8).reshape(shape, order="F" if is_fortran_ordered else "C")


def _encode(text: str, encoding: str) -> bytes:
    """Return bytes from the text form in which Python 3 stores them in Python 2's protocols."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding}")
    return text.encode("latin1")


_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _Global(_PickledArray),
    ("numpy._core.multiarray", "_reconstruct"): _Global(_PickledArray),
    ("numpy", "ndarray"): _Global(_PickledArray),
    ("numpy", "dtype"): _Global(_PickledDtype),
    ("_codecs", "encode"): _Global(_encode),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no data set needs") from None


def _resolve(value: Any) -> Any:
    """Replace arrays under construction by finished ones, one level into a dict."""
    if isinstance(value, dict):
        return {key: item.array if isinstance(item, _PickledArray) else item for key, item in value.items()}
    return value

"""Tensors of a file before their numbers are read: names, shapes and positions. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

ITEM_BYTES = {
    **dict.fromkeys(("uint8", "int8", "bool", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"), 1),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("float32", "int32", "uint32", "complex32"), 4),
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    "complex128": 16,
}
"""Bytes per number, by torch's type name."""
_DIMENSIONS = 64
"""Most dimensions of a tensor in torch."""


@dataclass(frozen=True, eq=False)
class Storage:
    """A contiguous block of numbers in a file; several tensors may be views of it."""

    key: str
    dtype: str
    numbers: int

    @property
    def num_bytes(self) -> int:
        return self.numbers * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, eq=False)
class TensorReference:
    """One tensor of a file. ``oddity`` says in one or two words why it can't be read, e.g. ``sparse``; else None."""

    shape: tuple[int, ...]
    dtype: str
    storage: Storage | None = None
    offset: int = 0
    stride: tuple[int, ...] = ()
    oddity: str | None = None

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        return self.numbers * ITEM_BYTES.get(self.dtype, 1)

    def fault(self) -> str | None:
        """Return why the tensor can't come from a network, e.g. it is larger than its storage; None if it can."""
        if self.storage is None:
            return None
        places = (*self.shape, *self.stride, self.offset)
        if len(self.shape) > _DIMENSIONS or any(type(place) is not int or place < 0 for place in places):
            return "has an impossible shape"
        if len(self.shape) != len(self.stride):
            return "has an impossible shape"
        if self.numbers == 0:
            return "is empty"
        if self.numbers > self.storage.num_bytes // ITEM_BYTES[self.dtype]:
            return f"is larger than its storage ({self.numbers:,} numbers out of {self.storage.numbers:,})"
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        if (last + 1) * ITEM_BYTES[self.dtype] > self.storage.num_bytes:
            return "reaches beyond its storage"
        return None


@dataclass(frozen=True)
class Opaque:
    """A value of a pickle that contains no weights: a random state, a layout, bytes."""


@dataclass(frozen=True)
class Unnamed:
    """Replaces a dictionary key that is neither text nor a number."""

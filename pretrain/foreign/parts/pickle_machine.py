"""Reads a pickle written by ``torch.save`` without executing or allocating anything that it asks for.

``torch.load(weights_only=True)`` runs no code of the file either. But it allocates every tensor at the size that the
file states, calls constructors with the file's arguments, and has no limit: a pickle of a few kilobytes can take all
memory or run for hours. Here a tensor becomes a ``TensorReference``, other objects become ``Opaque``, and the number of
opcodes is limited. Imports no torch.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from pretrain.errors import InputError
from pretrain.foreign.parts.references import ITEM_BYTES, Opaque, Storage, TensorReference, Unnamed

OPCODES = 500_000
"""Most opcodes of a pickle; a training checkpoint of ViT-L with AdamW has 40,000."""

_INERT = re.compile(
    r"torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2|torch\.nn\.parameter\.Parameter|"
    r"torch\.storage\.(Untyped|Typed)Storage|torch\.serialization\._get_layout|torch\.(Size|device|Tensor|\w+Storage)|"
    r"torch\.(u?int\d+|b?float\d+\w*|complex\d+|bool|q\w*int\d+\w*|bits\w+|per_\w+|strided|sparse_\w+)|"
    r"collections\.(OrderedDict|Counter)|_codecs\.encode|(builtins|__builtin__)\.(bytearray|set|complex)|"
    r"argparse\.Namespace|yacs\.config\.CfgNode"
)
"""Classes and functions that torch accepts as data; a file that needs another is refused, and the message names it.

The last two hold a script's settings, which DINO, iBOT, MAE and SimMIM save beside the weights; they are not read.
"""
_STORAGE_TYPES = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
    "Untyped": "uint8",
}
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": Opaque,
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), Opaque),
}


class DamagedPickleError(Exception):
    """The bytes are not a pickle, or not one that ``torch.save`` writes."""


@dataclass(frozen=True)
class Global:
    """A class or function that the pickle names."""

    name: str


@dataclass
class Machine:
    """Stack and memo of one pickle. ``needed`` collects the classes and functions that torch does not accept as data.

    ``storages`` has each storage once, in the order of first mention.
    """

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)
    storages: dict[str, Storage] = field(default_factory=dict)

    def run(self, file: IO[bytes]) -> Any:
        """Return the value of the pickle that begins at the file's position; leave the position behind it.

        Raises
        ------
        InputError
            The pickle has more opcodes than ``OPCODES``.
        DamagedPickleError
            The pickle has something that ``torch.save`` does not write.
        """
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
                if count >= OPCODES:
                    raise InputError(f"refused, its pickle has more than {OPCODES:,} steps, and weights need fewer")
                if opcode.name == "STOP":
                    return self.stack.pop()
                self._step(opcode.name, argument)
        except InputError:
            raise
        except Exception as error:  # on damaged bytes pickletools raises many types of errors
            raise DamagedPickleError(f"{type(error).__name__}: {error}") from error
        raise DamagedPickleError("no end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _NUMBERS or name in _TEXTS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name == "POP":
            stack.pop()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "BINPERSID":
            storage = _storage(stack.pop())
            if self.storages.setdefault(storage.key, storage).num_bytes != storage.num_bytes:
                raise DamagedPickleError("one storage of two sizes")
            stack.append(storage)
        elif name not in ("PROTO", "FRAME"):
            self._combine(name, argument)

    def _combine(self, name: str, argument: Any) -> None:
        """Apply an opcode that makes one value of several."""
        stack = self.stack
        if name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(self._last(int(name[-1]))))
        elif name in ("TUPLE", "LIST", "DICT", "FROZENSET", "POP_MARK"):
            items = self._since_mark()
            if name != "POP_MARK":
                stack.append(_COLLECTED[name](items))
        elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"):
            count = {"APPEND": 1, "SETITEM": 2}.get(name)
            self._fill(stack, self._since_mark() if count is None else self._last(count), name)
        elif name in ("GLOBAL", "INST"):
            found = self._global(argument.replace(" ", ".", 1))
            stack.append(found if name == "GLOBAL" else _call(found, tuple(self._since_mark())))
        elif name == "STACK_GLOBAL":
            module, attribute = self._last(2)
            stack.append(self._global(f"{module}.{attribute}"))
        elif name == "OBJ":
            function, *arguments = self._since_mark()
            stack.append(_call(function, tuple(arguments)))
        elif name in ("REDUCE", "NEWOBJ"):
            function, arguments = self._last(2)
            stack.append(_call(function, arguments))
        elif name == "BUILD":
            self._last(1)  # attributes of an object, which contain no weights
        else:
            raise DamagedPickleError(f"opcode {name}")

    def _last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise DamagedPickleError("empty stack")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def _since_mark(self) -> list[Any]:
        return self._last(len(self.stack) - self.marks.pop())

    def _fill(self, stack: list[Any], items: list[Any], name: str) -> None:
        target = stack[-1]
        if isinstance(target, list) and name.startswith("APPEND"):
            target.extend(items)
        elif isinstance(target, dict) and name.startswith("SETITEM"):
            target.update(_paired(items))
        elif not isinstance(target, Opaque):
            raise DamagedPickleError(f"{name} on {type(target).__name__}")

    def _global(self, name: str) -> Global:
        if not _INERT.fullmatch(name):
            self.needed.add(name)
        return Global(name)


def _paired(items: list[Any]) -> dict[Any, Any]:
    keys = (key if isinstance(key, str | int | float | None) else Unnamed() for key in items[::2])
    return dict(zip(keys, items[1::2], strict=True))


_COLLECTED: dict[str, Callable[[list[Any]], Any]] = {
    "TUPLE": tuple,
    "LIST": list,
    "DICT": _paired,
    "FROZENSET": lambda _: Opaque(),
}


def _call(function: Any, arguments: Any) -> Any:
    """Return a reference for a call of torch's rebuilding functions; an ``Opaque`` for other calls."""
    name = function.name if isinstance(function, Global) else ""
    if name == "collections.OrderedDict":
        return _paired([item for pair in arguments[0] for item in pair]) if arguments else {}
    if name == "torch.Size":
        return tuple(arguments[0])
    short = name.rpartition(".")[2]
    if short == "_rebuild_from_type_v2":
        return _call(arguments[0], arguments[2])
    if short.startswith("_rebuild_parameter") or (short == "Parameter" and arguments):
        return arguments[0]
    if short in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
        storage, offset, shape, stride = arguments[:4]
        dtype = _dtype(arguments[6]) if short == "_rebuild_tensor_v3" else storage.dtype
        return TensorReference(tuple(shape), dtype, storage, offset, tuple(stride))
    if short == "_rebuild_sparse_tensor":
        *_, values = (part for part in arguments[1] if isinstance(part, TensorReference))
        return TensorReference((), values.dtype, oddity=f"sparse or nested {values.dtype}")
    if short == "_rebuild_meta_tensor_no_storage":
        return TensorReference(tuple(arguments[1]), _dtype(arguments[0]), oddity="without numbers (meta)")
    if short.startswith("_rebuild_"):
        return TensorReference((), "unknown", oddity=short.removeprefix("_rebuild_").replace("_", " "))
    return Opaque()


def _dtype(value: Any) -> str:
    if not isinstance(value, Global) or (name := value.name.removeprefix("torch.")) not in ITEM_BYTES:
        raise DamagedPickleError("a tensor of an unknown type")
    return name


def _storage(identifier: Any) -> Storage:
    """Return the storage of ``("storage", type, key, device, numbers)``; the old format appends a view's position."""
    kind, made_by, key, _, numbers, *view = identifier
    if kind != "storage" or not isinstance(made_by, Global) or type(numbers) is not int or numbers < 0:
        raise DamagedPickleError("no storage")
    if view not in ([], [None]):
        raise DamagedPickleError("a view of a storage")
    return Storage(str(key), _STORAGE_TYPES[made_by.name.rpartition(".")[2].removesuffix("Storage")], numbers)

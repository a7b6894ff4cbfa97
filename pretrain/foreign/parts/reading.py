"""Reads foreign files as tensors; executes nothing, and allocates no more than the file holds."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretrain.checkpoint import file_sha256, parse_header
from pretrain.errors import InputError
from pretrain.foreign.interface import Facts, State
from pretrain.foreign.parts.hub_config import CONFIG, WEIGHTS, folder_facts, folder_weights
from pretrain.foreign.parts.references import Storage, TensorReference
from pretrain.foreign.parts.torch_file import open_torch_file
from pretrain.foreign.parts.unreadable import refuse_unreadable
from pretrain.foreign.parts.usable import refuse_unusable, refuse_unusable_references
from pretrain.foreign.parts.weight_sets import Choice, WeightSet, choose_weights
from pretrain.wording import printable

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CONFIG", "HEADER_KEY", "WEIGHTS", "ForeignFile", "read_foreign", "weights_file"]

HEADER_KEY = "opera_bench_header"
"""Key of our header (JSON) in files written here: in safetensors' metadata, or under ``meta`` in a pickle."""
HEADER_BYTES = 1 << 22
"""Largest safetensors header, 4 MiB; that of a ViT-L's 300 tensors has 30 KB."""
MAX_EPOCHS = 10**6
"""A larger ``epoch`` is not a number of epochs."""


@dataclass(frozen=True)
class ForeignFile:
    """A file's tensors under its own names, its facts, and its SHA-256 (for a folder: of the weights).

    ``choice`` names the set of weights that the tensors are.
    """

    path: Path
    state: State
    facts: Facts
    sha256: str
    choice: Choice = field(default_factory=lambda: Choice(WeightSet("", {})))


def read_foreign(path: Path, weights: str | None = None) -> ForeignFile:
    """Read a pickled or safetensors file, or a Hugging Face folder.

    ``weights`` selects among the file's sets of weights: ``ema``, ``raw``, or a set's own name.

    Raises
    ------
    InputError
        The file is missing, truncated, altered, empty or no checkpoint; it contains more than tensors and plain values;
        a tensor is not of finite floating-point numbers or exceeds the file; or there is no such set of weights.
    """
    try:
        return _read(path, weights)
    except InputError as error:
        raise InputError(printable(error)) from error


def weights_file(path: Path) -> Path:
    """Return the file that ``ForeignFile.sha256`` covers: ``path``, or the weights in a folder."""
    return folder_weights(path) if path.is_dir() else path


def _read(path: Path, wanted: str | None) -> ForeignFile:
    refuse_unreadable(path)
    file = weights_file(path)
    if not file.is_file():
        raise InputError(f"{file}: no such checkpoint")
    is_safetensors = file.suffix == ".safetensors"
    content, facts, load = _open_safetensors(file) if is_safetensors else _open_pickle(file)
    if path.is_dir():
        facts = folder_facts(path / CONFIG, facts)
    try:
        choice = choose_weights(content, facts, wanted)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    try:
        refuse_unusable_references(file, choice.read, file.stat().st_size)
        state = load(choice.read)
        refuse_unusable(file, state)
    except InputError as error:
        raise InputError(f"{error}{choice.alternatives}") from error
    return ForeignFile(path, state, facts, file_sha256(file), choice)


Opened = tuple[Mapping[Any, Any], Facts, Callable[[WeightSet], "dict[str, Tensor]"]]
"""A file's values with references for tensors, its facts, and a function that loads one set of weights."""


def _open_safetensors(path: Path) -> Opened:
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as raw:
        (length,) = struct.unpack("<Q", raw.read(8).ljust(8, b"\0"))
    if HEADER_BYTES < length <= path.stat().st_size:
        raise InputError(
            f"{path}: refused, its header has {length:,} bytes; names and shapes need no more than {HEADER_BYTES:,}"
        )
    try:
        with safe_open(path, framework="np") as file:  # reads only the header, without importing torch
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            references = {name: _reference(name, part) for name, part in slices.items()}
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: truncated or no safetensors file ({error})") from error

    def load(chosen: WeightSet) -> dict[str, Tensor]:
        names = {id(reference): name for name, reference in references.items()}
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(names[id(reference)]) for key, reference in chosen.tensors.items()}

    return references, _header_facts(path, metadata.get(HEADER_KEY)), load


def _reference(name: str, part: Any) -> TensorReference:
    shape, dtype = tuple(part.get_shape()), _SAFETENSORS_TYPES.get(part.get_dtype())
    if dtype is None:
        return TensorReference(shape, "unknown", oddity=str(part.get_dtype()))
    numbers = math.prod(shape)
    stride = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return TensorReference(shape, dtype, Storage(name, dtype, numbers), 0, stride)


def _open_pickle(path: Path) -> Opened:
    file = open_torch_file(path)
    content = file.content
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, not a state dict")
    meta = content.get("meta")
    facts = _header_facts(path, meta.get(HEADER_KEY) if isinstance(meta, dict) else None)
    epoch = content.get("epoch")
    if facts == Facts() and type(epoch) is int and 0 <= epoch <= MAX_EPOCHS:
        facts = Facts(epochs=epoch, trained_tensors=_count_trained(content.get("optimizer")))

    def load(chosen: WeightSet) -> dict[str, Tensor]:
        numbers: dict[tuple[str, str], Tensor] = {}
        return {name: _tensor(reference, numbers, file.read_storage) for name, reference in chosen.tensors.items()}

    return content, facts, load


def _tensor(
    reference: TensorReference, numbers: dict[tuple[str, str], Tensor], read: Callable[[Storage], bytearray]
) -> Tensor:
    """Return a view of the tensor's storage, which is read once for all its tensors."""
    import torch

    storage = reference.storage
    if storage is None:
        raise InputError("a tensor without numbers")
    known = (storage.key, reference.dtype)
    if known not in numbers:
        numbers[known] = torch.frombuffer(read(storage), dtype=getattr(torch, reference.dtype))
    return numbers[known].as_strided(reference.shape, reference.stride, reference.offset)


def _count_trained(optimizer: Any) -> int | None:
    """Return how many tensors an optimiser's state says it trained; None if it does not say."""
    groups = optimizer.get("param_groups") if isinstance(optimizer, dict) else None
    if not isinstance(groups, list) or not groups:
        return None
    trained = [group.get("params") if isinstance(group, dict) else None for group in groups]
    return sum(map(len, trained)) if all(isinstance(tensors, list) for tensors in trained) else None  # type: ignore[arg-type]


def _header_facts(path: Path, text: Any) -> Facts:
    """Return the facts in the header of a file written here."""
    if text is None:
        return Facts()
    try:
        header = parse_header(text)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: its {HEADER_KEY} is unreadable ({error})") from error
    return Facts(header.num_heads, header.image_size, header.normalisation, header.method, header.epochs)


_SAFETENSORS_TYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""Maps safetensors' type names to torch's."""

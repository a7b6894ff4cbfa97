"""Checks that the content of a file can be weights: named tensors of finite floating-point numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretrain.errors import InputError
from pretrain.foreign.lookup import integer_names
from pretrain.foreign.parts.references import TensorReference
from pretrain.foreign.parts.weight_sets import WeightSet
from pretrain.wording import listed

if TYPE_CHECKING:
    from torch import Tensor

TENSORS = 20_000
"""Most tensors of a file; a ViT-L has 300, a whole MoCo-v3 on it 700."""
KEY_CHARACTERS = 1_000
_COUNTERS = "num_batches_tracked"
"""Last part of the only integer keys of our networks: batch normalisation's counters. Formats may leave out others."""
_READ = ("float16", "bfloat16", "float32", "float64")
_SHARED = 4
"""Largest ratio of all tensors' bytes to the file's; above 1 if weights used in several places are stored once."""


def refuse_unusable_references(path: Path, weights: WeightSet, file_bytes: int) -> None:
    """Refuse a file that can't be weights, before reading any number.

    Raises
    ------
    InputError
        There are no tensors, one is not of plain floating-point numbers, or one exceeds the file.
    """
    tensors: Mapping[Any, TensorReference] = weights.tensors
    if weights.strange:
        raise InputError(f"{path}: not a state dict, because these entries are no tensors: {listed(weights.strange)}")
    if weights.size and not tensors:
        raise InputError(f"{path}: {weights.name} is a list of tensors without names; save them as a state dict")
    if not tensors:
        raise InputError(f"{path}: holds no weights")
    if len(tensors) > TENSORS or max(map(len, tensors)) > KEY_CHARACTERS:
        raise InputError(
            f"{path}: refused, {len(tensors):,} tensors and a name of {max(map(len, tensors)):,} characters; allowed: "
            f"{TENSORS:,} tensors and names of {KEY_CHARACTERS:,}"
        )
    kinds = {key: tensor.oddity or _unread_type(key, tensor.dtype) for key, tensor in tensors.items()}
    _refuse_types(path, [f"{key} is {kind}" for key, kind in kinds.items() if kind])
    faults = [f"{key} {fault}" for key, tensor in tensors.items() if (fault := tensor.fault())]
    if faults:
        raise InputError(f"{path}: refused, {listed(faults)}")
    stated_bytes = sum(tensor.num_bytes for tensor in tensors.values())
    if stated_bytes > _SHARED * file_bytes:
        raise InputError(f"{path}: refused, its tensors ask for {stated_bytes:,} bytes, the file has {file_bytes:,}")


def refuse_unusable(path: Path, state: Mapping[str, Tensor]) -> None:
    """Check the values of tensors.

    Raises
    ------
    InputError
        There are no tensors, or one is not of plain floating-point numbers, has NaN, or exceeds single precision.
    """
    import torch

    if not state:
        raise InputError(f"{path}: holds no weights")
    kinds = {key: _unread_type(key, str(tensor.dtype).removeprefix("torch.")) for key, tensor in state.items()}
    _refuse_types(path, [f"{key} is {kind}" for key, kind in kinds.items() if kind])
    # Computations here use single precision, in which some finite doubles are infinite.
    broken = [key for key, tensor in state.items() if not torch.isfinite(tensor.to(torch.float32)).all()]
    if broken:
        raise InputError(f"{path}: NaN or infinite weights in {listed(broken)}")


def _refuse_types(path: Path, faults: list[str]) -> None:
    if faults:
        raise InputError(f"{path}: weights must be plain float16, bfloat16, float32 or float64; {listed(faults)}")


def _unread_type(key: str, dtype: str) -> str | None:
    """Return the type's name if weights are not read from it; None if they are."""
    last = key.rpartition(".")[2]
    is_integer = dtype in ("int64", "int32") and (last == _COUNTERS or last in integer_names())
    return None if is_integer or dtype in _READ else dtype

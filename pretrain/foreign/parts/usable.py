"""Whether what was read can be weights at all: named tensors of finite floating-point numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretrain.errors import InputError
from pretrain.foreign.parts.differences import listed

if TYPE_CHECKING:
    from torch import Tensor

_COUNTERS = "num_batches_tracked"
"""The last part of the only integer keys a network here has: batch normalisation's counters."""


def refuse_unusable(path: Path, state: Mapping[Any, Any]) -> None:
    """
    Raises
    ------
    InputError
        No tensors, or one that is not plain floating-point numbers, or NaN, or too large for single precision.
    """
    import torch

    if not state:
        raise InputError(f"{path}: holds no weights")
    strange = [str(key) for key, value in state.items() if not isinstance(key, str) or not torch.is_tensor(value)]
    if strange:
        raise InputError(f"{path}: no state dict, these entries are no tensors: {listed(strange)}")
    odd = [f"{key} is {kind}" for key, value in state.items() if (kind := _unusable_kind(key, value))]
    if odd:
        raise InputError(f"{path}: weights are read as plain float16, bfloat16, float32 or float64, and {listed(odd)}")
    # Here single precision is computed in: what is finite only in double precision is infinite there.
    broken = [key for key, value in state.items() if not torch.isfinite(value.to(torch.float32)).all()]
    if broken:
        raise InputError(f"{path}: NaN or infinite weights in {listed(broken)}")


def _unusable_kind(key: str, tensor: Tensor) -> str | None:
    """What keeps a tensor from being read, in a word or two."""
    import torch

    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta:
        return "without numbers (meta)"
    if tensor.is_nested or tensor.layout is not torch.strided:
        return f"sparse or nested {kind}"
    if tensor.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        return None
    is_counter = key.rpartition(".")[2] == _COUNTERS and tensor.dtype in (torch.int64, torch.int32)
    return None if is_counter else kind

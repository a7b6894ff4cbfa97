"""Parts of a state dict by the prefix of their names. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pretrain.errors import InputError
from pretrain.foreign.interface import State
from pretrain.wording import listed

if TYPE_CHECKING:
    from torch import Tensor


def part(state: State, prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose keys begin with ``prefix``, with the prefix removed."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def prefixed(prefix: str, state: State) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def rest_of(state: State, prefix: str, taken: Collection[str]) -> dict[str, Tensor]:
    """Return the tensors whose keys are not ``prefix`` and one of the names ``taken``."""
    names = {f"{prefix}{name}" for name in taken}
    return {name: tensor for name, tensor in state.items() if name not in names}


@contextmanager
def unknown_keys_refused(what: str, state: State, prefixes: tuple[str, ...]) -> Iterator[None]:
    """Add keys outside the prefixes to the error of the block, so that one message lists all faults.

    Raises
    ------
    InputError
        There are such keys, or the block raises an InputError.
    """
    strange = listed(f"unexpected {name}" for name in state if not name.startswith(prefixes))
    try:
        yield
    except InputError as error:
        raise InputError(f"{error}; {strange}" if strange else str(error)) from error
    if strange:
        raise InputError(f"{what}: {strange}")

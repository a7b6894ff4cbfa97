"""Compares a user's statements about a foreign file with the file's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pretrain.errors import InputError
from pretrain.foreign.parts.conversion import UNKNOWN_METHOD, Checkpoint
from pretrain.methods.lookup import method_names

_COUNTED_FROM_ONE = ("moco_v3", "opera")
"""Formats whose ``epoch`` is the number of finished epochs. Other projects save the index of the last epoch."""


def refuse_contradictions(checkpoint: Checkpoint, declared: Mapping[str, Any]) -> None:
    """Compare ``backbone``, ``epochs`` and ``method``; a user may state what the file does not.

    A method's name that this suite does not have is the user's own name for the file and contradicts nothing.

    Raises
    ------
    InputError
        The file states another value; the message names both.
    """
    header = checkpoint.header
    if header.backbone != declared["backbone"]:
        raise InputError(f"holds {header.backbone}, but the sweep says {declared['backbone']}")
    if header.epochs is not None and declared["epochs"] not in _epochs(header.epochs, checkpoint.format):
        raise InputError(f"trained for {header.epochs} epochs, but the sweep says {declared['epochs']}")
    named = declared["method"] in method_names()
    if named and header.method not in (UNKNOWN_METHOD, declared["method"]):
        raise InputError(f"trained with {header.method}, but the sweep says {declared['method']}")


def _epochs(said: int, format_name: str) -> tuple[int, ...]:
    return (said,) if format_name in _COUNTED_FROM_ONE else (said, said + 1)

"""Foreign formats by name, and by what a state dict looks like. Imports no torch."""

from __future__ import annotations

from typing import cast

from pretrain.errors import InputError
from pretrain.foreign.interface import Facts, ForeignFormat, State
from pretrain.plugins import load_plugin, plugin_names, suggest


def format_names() -> tuple[str, ...]:
    return plugin_names("pretrain.foreign")


def find_format(name: str) -> ForeignFormat:
    return cast(ForeignFormat, load_plugin("pretrain.foreign", name, "format"))


def writable_format_names() -> tuple[str, ...]:
    """The formats that weights can be converted to."""
    return tuple(name for name in format_names() if find_format(name).INFO.written_as)


def find_writable_format(name: str) -> ForeignFormat:
    """The format called ``name``, which must be one that is written here.

    Raises
    ------
    InputError
        No such format, or one that is only read.
    """
    found = find_format(name)
    if not found.INFO.written_as:
        raise InputError(f"format {name!r} is only read; {suggest(name, writable_format_names())}")
    return found


def recognise(state: State, facts: Facts) -> tuple[str, ...]:
    """Every format whose layout the state dict has. Several are the same layout under two names: a ResNet's in timm,
    torchvision and OpenMMLab."""
    return tuple(name for name in format_names() if find_format(name).recognise(state, facts))

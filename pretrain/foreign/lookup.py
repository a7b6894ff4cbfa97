"""Finds foreign formats by name, or by a state dict's names. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from pretrain.errors import InputError
from pretrain.foreign.interface import Facts, ForeignFormat, FormatInfo, State
from pretrain.plugins import Offers, load_plugin, plugin_names, suggest, usable_plugins

PACKAGE, KIND = "pretrain.foreign", "format"
OFFERS: Offers = {"INFO": FormatInfo, "recognise": None, "to_ours": None}


def format_names() -> tuple[str, ...]:
    return plugin_names(PACKAGE)


def find_format(name: str) -> ForeignFormat:
    return cast(ForeignFormat, load_plugin(PACKAGE, name, KIND, OFFERS))


def writable_format_names() -> tuple[str, ...]:
    """Return the names of the formats that weights can be converted to."""
    return tuple(name for name, module in _usable_formats() if module.INFO.written_as)


def find_writable_format(name: str) -> ForeignFormat:
    """Return the format called ``name``, which must be a writable one.

    Raises
    ------
    InputError
        There is no such format, or it is only read.
    """
    found = find_format(name)
    if not found.INFO.written_as:
        raise InputError(f"format {name!r} is only read; {suggest(name, writable_format_names())}")
    return found


def recognise(state: State, facts: Facts) -> tuple[str, ...]:
    """Return the names of all formats whose layout fits; timm, torchvision and OpenMMLab share that of a ResNet."""
    return tuple(name for name, module in _usable_formats() if module.recognise(state, facts))


def _usable_formats() -> Iterator[tuple[str, ForeignFormat]]:
    for name, module in usable_plugins(PACKAGE, KIND, OFFERS):
        yield name, cast(ForeignFormat, module)

"""Finds foreign formats by name, or by a state dict's names. Imports no torch."""

from __future__ import annotations

from pretrain.errors import InputError
from pretrain.foreign.interface import Facts, ForeignFormat, FormatInfo, State
from pretrain.plugins import PluginKind, suggest

FORMATS = PluginKind[ForeignFormat](
    "pretrain.foreign", "format", {"INFO": FormatInfo, "recognise": None, "to_ours": None}
)
format_names, find_format = FORMATS.names, FORMATS.find


def writable_format_names() -> tuple[str, ...]:
    """Return the names of the formats that weights can be converted to."""
    return tuple(name for name, module in FORMATS.usable() if module.INFO.written_as)


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
    """Return the names of all formats whose layout fits, those with names of their own before those with shared names.

    timm, torchvision and OpenMMLab share the names of a ResNet.
    """
    fitting = [module.INFO for _, module in FORMATS.usable() if module.recognise(state, facts)]
    return tuple(info.name for info in sorted(fitting, key=lambda info: info.shared_names))


def readable_if_named(state: State, facts: Facts) -> tuple[str, ...]:
    """Return the names of the formats that don't recognise a state dict but can hold it."""
    modules = (module for _, module in FORMATS.usable() if not module.recognise(state, facts))
    return tuple(module.INFO.name for module in modules if getattr(module, "can_hold", _never)(state, facts))


def integer_names() -> frozenset[str]:
    """Return the last parts of the names of tensors that hold integers in some format."""
    return frozenset(name for _, module in FORMATS.usable() for name in module.INFO.integers)


def _never(_state: State, _facts: Facts) -> bool:
    return False

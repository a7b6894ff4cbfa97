"""Parses the YAML of sweeps and cluster profiles, and expands environment variables written as ``${NAME}``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from pretrain.errors import InputError
from pretrain.yaml_reader import KeyPath, Source, parse, read_text

__all__ = ["VARIABLE", "KeyPath", "Source", "find_unset_variable", "load_yaml", "parse_value", "parse_yaml"]

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

# `{imagenet: ${DIR}}` is not YAML, because a brace ends a plain scalar inside braces. So each `${NAME}` is replaced by
# NAME between two private characters before parsing, and the variables are expanded in the parsed values.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARKED_VARIABLE = re.compile(f"{_OPEN}([A-Za-z0-9_]+){_CLOSE}")


def load_yaml(path: Path) -> Source:
    """The document in one YAML file.

    Raises
    ------
    InputError
        The file can't be read, is not plain YAML, or has a duplicate key.
    """
    return parse_yaml(read_text(path), path.name)


def parse_yaml(text: str, name: str) -> Source:
    """Parse ``text``, called ``name`` in messages; an unset variable stays as written.

    Raises
    ------
    InputError
        The text is not plain YAML, or has a duplicate key.
    """
    if found := re.search(f"[{_OPEN}{_CLOSE}]", text):
        line = text.count("\n", 0, found.start()) + 1
        raise InputError(f"{name}:{line}: the private character U+{ord(found[0]):04X} is not allowed")
    return parse(VARIABLE.sub(rf"{_OPEN}\1{_CLOSE}", text), name, _expand_variables)


def parse_value(text: str, origin: str) -> Any:
    """Parse one value written as in a sweep, such as ``[0, 1]``.

    Parameters
    ----------
    origin
        The option as typed, such as ``--set epochs=3``; messages begin with it, without a line number.

    Raises
    ------
    InputError
        The text is not YAML.
    """
    try:
        return parse_yaml(text, origin).data
    except InputError as error:
        raise InputError(re.sub(rf"{re.escape(origin)}:\d+", lambda _: origin, str(error))) from error


def find_unset_variable(value: Any, path: KeyPath = ()) -> tuple[KeyPath, str] | None:
    """Return path and name of the first environment variable that a parsed value names and that isn't set, or None."""
    if isinstance(value, str):
        found = VARIABLE.search(value)
        return (path, found[1]) if found else None
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return next((unset for key, item in items if (unset := find_unset_variable(item, (*path, key)))), None)


def _expand_variables(text: str) -> str:
    return _MARKED_VARIABLE.sub(lambda found: os.environ.get(found[1], f"${{{found[1]}}}"), text)

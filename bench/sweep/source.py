"""The YAML of sweeps and cluster profiles: ``${NAME}`` stands for an environment variable."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from pretrain.errors import InputError
from pretrain.yaml_reader import KeyPath, Source, parse, read_text

__all__ = ["VARIABLE", "KeyPath", "Source", "load_yaml", "parse_value", "parse_yaml"]

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

# `{imagenet: ${DIR}}` is not YAML, since a brace ends a plain word inside braces. Variables therefore travel
# through the parser between two characters that no text uses, and are expanded in the values it found.
_OPEN, _CLOSE = "\ue000", "\ue001"
_TRAVELLING = re.compile(f"{_OPEN}([A-Za-z0-9_]+){_CLOSE}")


def load_yaml(path: Path) -> Source:
    """The document of one YAML file.

    Raises
    ------
    InputError
        The file can't be read, is not plain YAML, or says the same key twice.
    """
    return parse_yaml(read_text(path), path.name)


def parse_yaml(text: str, name: str) -> Source:
    """``text`` as data; a variable that is not set stays as it is written.

    Raises
    ------
    InputError
        The text is not plain YAML, or says the same key twice.
    """
    if found := re.search(f"[{_OPEN}{_CLOSE}]", text):
        line = text.count("\n", 0, found.start()) + 1
        raise InputError(f"{name}:{line}: the private character U+{ord(found[0]):04X} is not allowed")
    return parse(VARIABLE.sub(rf"{_OPEN}\1{_CLOSE}", text), name, _with_variables)


def parse_value(text: str, origin: str) -> Any:
    """One value as it would be written in a sweep, e.g. ``[0, 1]``.

    Parameters
    ----------
    origin
        What the user typed, such as ``--set epochs=3``; messages begin with it, without a line's number.

    Raises
    ------
    InputError
        The text is not YAML.
    """
    try:
        return parse_yaml(text, origin).data
    except InputError as error:
        raise InputError(re.sub(rf"{re.escape(origin)}:\d+", lambda _: origin, str(error))) from error


def _with_variables(text: str) -> str:
    return _TRAVELLING.sub(lambda found: os.environ.get(found[1], f"${{{found[1]}}}"), text)

"""Reads the YAML that the suite writes itself, such as ``config.yaml`` of a run: safe, fast and bounded."""

from __future__ import annotations

from typing import Any

import yaml

LARGEST = 256 * 1024
"""Characters. A run's configuration has about 2,000."""
MOST_VALUES = 20_000
DEEPEST = 50


def load(text: str) -> Any:
    """The plain values of ``text``. libyaml reads ten times faster than pure Python; not every PyYAML is built with it.

    Raises
    ------
    yaml.YAMLError
        The text is not YAML of plain values, or holds more of them than any file of the suite.
    """
    if len(text) > LARGEST:
        raise yaml.YAMLError(f"longer than {LARGEST} characters")
    # Nesting costs at least one bracket, dash or question mark a level on one line, or a line a level.
    if any(
        line.count("[") + line.count("{") + line.count("- ") + line.count("? ") > 1000 for line in text.splitlines()
    ):
        raise yaml.YAMLError("nested too deep")
    try:
        loaded = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (ValueError, RecursionError, AttributeError, TypeError, OverflowError) as error:
        # A tag such as !!int "" ends in an exception of Python's own.
        raise yaml.YAMLError(f"not plain values ({type(error).__name__})") from error
    _require_bounded(loaded)
    return loaded


def _require_bounded(loaded: Any) -> None:
    """Refuse aliases that multiply or that hold themselves: whoever walks the values would not come to an end."""
    waiting, values = [(loaded, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        values += 1
        if depth > DEEPEST or values > MOST_VALUES:
            raise yaml.YAMLError(f"more than {MOST_VALUES} values, or nested more than {DEEPEST} deep")
        if isinstance(value, dict):
            waiting.extend((part, depth + 1) for part in value.values())
        elif isinstance(value, list):
            waiting.extend((part, depth + 1) for part in value)

"""Reads the suite's own YAML files, such as ``config.yaml`` of a run, with limits on size and depth."""

from __future__ import annotations

from typing import Any

import yaml

LARGEST = 256 * 1024
"""Largest text in characters. A run's configuration has about 2,000."""
MOST_VALUES = 20_000
DEEPEST = 50


def load(text: str) -> Any:
    """Return the plain values of ``text``, read with libyaml (ten times faster) if PyYAML was built with it.

    Raises
    ------
    yaml.YAMLError
        The text is not YAML of plain values, or exceeds a limit of this module.
    """
    if len(text) > LARGEST:
        raise yaml.YAMLError(f"longer than {LARGEST} characters")
    # Each nesting level needs a bracket, dash or question mark on one line, or a line of its own.
    if any(
        line.count("[") + line.count("{") + line.count("- ") + line.count("? ") > 1000 for line in text.splitlines()
    ):
        raise yaml.YAMLError("nested too deep")
    try:
        loaded = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (ValueError, RecursionError, AttributeError, TypeError, OverflowError) as error:
        # A tag such as !!int "" raises a Python exception that isn't a YAMLError.
        raise yaml.YAMLError(f"not plain values ({type(error).__name__})") from error
    _require_bounded(loaded)
    return loaded


def _require_bounded(loaded: Any) -> None:
    """Raise for too many or too deep values. Aliases can nest or contain themselves, so walking could never end."""
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

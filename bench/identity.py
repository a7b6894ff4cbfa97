"""Run ids: the same work has the same id, wherever and whenever it is planned."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_NOT_IDENTITY = {"source", "changed"}
"""Words about a recipe: its id, its version and the numbers it led to count, a reworded citation does not."""


def canonical_json(value: Any) -> str:
    """JSON of which equal values have exactly one: keys sorted, no spaces, 1.0 written as 1.

    Raises
    ------
    ValueError
        The value holds NaN or an infinity.
    """
    return json.dumps(_normalise(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def run_id(stage: str, readable: str, config: Mapping[str, Any], parents: Sequence[str]) -> str:
    """``<stage>-<readable>-<10 hex>``, the hex being SHA-256 over the canonical JSON of the arguments.

    Parameters
    ----------
    config
        ``{pretrain: …}`` or ``{evaluator: …, pretrain: …}``, JSON-able.
    """
    identity = {
        "stage": stage,
        "config": {part: _without_words(settings) for part, settings in config.items()},
        "parents": list(parents),
    }
    digest = hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:10]
    return f"{_filename(stage)}-{_filename(readable)}-{digest}"


def _without_words(settings: Any) -> Any:
    if not isinstance(settings, Mapping) or not isinstance(settings.get("recipe"), Mapping):
        return settings
    recipe = {key: value for key, value in settings["recipe"].items() if key not in _NOT_IDENTITY}
    return {**settings, "recipe": recipe}


def _normalise(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _normalise(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normalise(item) for item in value]
    # A default of 1 in the code and a 1.0 in a file are the same setting.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _filename(text: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-.") or "run"

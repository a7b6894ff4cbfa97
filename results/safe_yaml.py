"""YAML without surprises, and fast."""

from __future__ import annotations

from typing import Any

import yaml


def load(text: str) -> Any:
    """Plain values alone. libyaml reads ten times faster than pure Python, but not every PyYAML is built with it."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))

"""Prefixes that wrappers of a network put before every key, such as DistributedDataParallel's ``module.``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

Value = TypeVar("Value")

PREFIXES = (
    "module.",  # DataParallel, DistributedDataParallel, timm's ModelEma, torch's AveragedModel
    "_orig_mod.",  # torch.compile
    "_forward_module.",  # Lightning Fabric
    "_fsdp_wrapped_module.",  # FullyShardedDataParallel
    "model.",
    "backbone.",
    "encoder.",
    "net.",
    "network.",
)
_NESTED = 5
"""Most nested wrappers; a long key of nothing but prefixes would take hours otherwise."""
_AVERAGE_COUNTER = "n_averaged"
"""Counter that torch's AveragedModel saves beside ``module.*``."""
_MOCO_V3 = "base_encoder."
"""MoCo-v3's layout includes the prefix ``module.`` before this."""


def unwrapped(state: Mapping[str, Value]) -> list[tuple[dict[str, Value], str]]:
    """Return the state as it is, and again after each prefix that all its keys share, each with the removed prefixes.

    For example, keys ``module._orig_mod.*`` of a compiled network in DistributedDataParallel give three states.
    """
    current = {name: value for name, value in state.items() if name != _AVERAGE_COUNTER}
    if len(current) < 2:
        current = dict(state)
    stripped = ""
    found = [(current, stripped)]
    for _ in range(_NESTED):
        prefix = next((prefix for prefix in PREFIXES if current and all(map(_has_prefix(prefix), current))), None)
        if prefix is None:
            break
        current = {name.removeprefix(prefix): value for name, value in current.items()}
        stripped += prefix
        found.append((current, stripped))
    if any(name.startswith(_MOCO_V3) for name in current):
        found.append(({f"module.{name}": value for name, value in current.items()}, stripped))
    return found


def _has_prefix(prefix: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(prefix) and len(name) > len(prefix)

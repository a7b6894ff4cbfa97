"""Two ways to the same end, to be timed against each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """``ours`` and the plain ``reference`` do the same work."""

    name: str
    reference_name: str
    ours: Callable[[], object]
    reference: Callable[[], object]
    repeats: int = 5


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start

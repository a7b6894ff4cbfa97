"""How long a case may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

SECONDS = 1.0
"""Processor time that one case may take."""
Result = TypeVar("Result")


def timed(case: Callable[[], Result]) -> tuple[Result, float]:
    """Return what ``case`` returns, and its processor time in seconds.

    A case that takes too long is tried once more: the first may import modules, or the garbage collector run in it.
    """
    for _ in range(2):
        start = time.process_time()
        result = case()
        seconds = time.process_time() - start
        if seconds < SECONDS:
            break
    return result, seconds

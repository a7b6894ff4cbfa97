"""What a test needs besides Python: where it is missing the test is skipped, but in CI it fails."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRED = frozenset(os.environ.get("OPERA_BENCH_REQUIRE", "").split())
"""Names of what must not be missing, from ``OPERA_BENCH_REQUIRE="slurm chromium"``."""


def missing(name: str, reason: str) -> NoReturn:
    """Skip the test for ``reason``, or fail it where ``name`` is required."""
    if name in REQUIRED:
        pytest.fail(f"{reason} (OPERA_BENCH_REQUIRE names {name})", pytrace=False)
    pytest.skip(reason)

"""Tests of the dense evaluators run where OpenMMLab's libraries are; elsewhere they are skipped, saying why.

``OPERA_BENCH_REQUIRE="mmseg mmdet"`` in the environment, as in CI, turns a skip into a failure.
"""

from __future__ import annotations

import os

import pytest

from evaluators.dense.library import Library, what_is_missing


def needs(library: Library) -> pytest.MarkDecorator:
    """Skip where ``library`` is missing, unless it is required."""
    reason = what_is_missing(library)
    required = library in os.environ.get("OPERA_BENCH_REQUIRE", "")
    return pytest.mark.skipif(reason is not None and not required, reason=reason or "")

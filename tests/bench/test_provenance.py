"""Where a number came from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.worker.provenance import code_version

ROOT = Path(__file__).parents[2]


def test_a_record_names_the_commit_of_the_checkout() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("these tests do not run from a checkout")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert code_version()[0] == head.stdout.strip()

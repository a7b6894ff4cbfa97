"""What every test relies on, and the order in which processes share the tests."""

from __future__ import annotations

import signal

import pytest

CLUSTER = "tests/cluster/"

# A shell that starts the tests in the background has them ignore Ctrl-C, and their children with them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of the cluster come first: they take longest, and mostly wait, while another process computes."""
    items.sort(key=lambda item: not item.nodeid.startswith(CLUSTER))

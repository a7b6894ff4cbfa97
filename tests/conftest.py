"""What every test relies on, and how two processes share the tests."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling

CLUSTER = "tests/cluster/"

# A shell that starts the tests in the background has them ignore Ctrl-C, and their children with them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of the cluster come first: they take longest, and all but them can be shared out."""
    items.sort(key=lambda item: not item.nodeid.startswith(CLUSTER))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """What ``--dist loadfile`` keeps in one process: a file's tests, which share fixtures, and all of the cluster's.

    There is one cluster, and its tests mostly wait for it: in two processes they would wait for each other too. A mark
    ``xdist_group`` would say so as well, but xdist 3.8 loses it under pytest 9.
    """
    from xdist.scheduler import LoadFileScheduling

    class OneCluster(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return CLUSTER if nodeid.startswith(CLUSTER) else super()._split_scope(nodeid)

    return OneCluster(config, log) if config.getvalue("dist") == "loadfile" else None

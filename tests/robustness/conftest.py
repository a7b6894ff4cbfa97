"""How many cases each kind of test has tried, in one line at the end; how many it shall try."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.robustness.commands import CommandServer, Fault

CRASH_POINTS_VARIABLE = "OPERA_BENCH_CRASH_POINTS"
"""Points per command and fault: a number, or ``all``."""
FUZZ_CASES_VARIABLE = "OPERA_BENCH_FUZZ_CASES"
"""Cases that each file of fuzzed inputs tries, over all its tests."""
_COUNTS = pytest.StashKey[Counter[str]]()

Tally = Callable[[str, int], None]

WRITES_PER_POINT = 4
"""Of writes that follow each other, one in so many is struck. Each strike costs seconds, and such writes fill one file:
what a fault in the middle of it leaves does not depend on how much of it is written."""


def worthwhile_points(kinds: str, fault: Fault) -> list[int]:
    """The operations, from 1, that can each leave something else: all but most writes that follow other writes.

    Parameters
    ----------
    kinds
        The first letter of each operation, in order; ``w`` for a write.
    fault
        Only a write can be left half done.
    """
    points, in_a_row = [], 0
    for number, kind in enumerate(kinds, start=1):
        in_a_row = in_a_row + 1 if kind == "w" else 0
        if in_a_row % WRITES_PER_POINT == 1 or (kind != "w" and fault is not Fault.KILL_HALF_WRITTEN):
            points.append(number)
    return points


def chosen_points(points: list[int], seed: int) -> list[int]:
    """All points, or a few that lie evenly among them; ``seed`` shifts them."""
    asked = os.environ.get(CRASH_POINTS_VARIABLE, "1")
    if asked == "all" or int(asked) >= len(points):
        return points
    stride = len(points) / int(asked)
    return [points[int(index * stride + seed % max(int(stride), 1))] for index in range(int(asked))]


def fuzz_cases(sample: int, tests: float) -> int:
    """Cases of one test: ``sample``, or an equal share of what is asked of a file that has so many ``tests``."""
    asked = os.environ.get(FUZZ_CASES_VARIABLE)
    return sample if asked is None else math.ceil(int(asked) / tests)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a test as long as it takes where more than a sample is asked of it."""
    if CRASH_POINTS_VARIABLE in os.environ or FUZZ_CASES_VARIABLE in os.environ:
        for item in items:
            if item.path.parent == Path(__file__).parent:
                item.add_marker(pytest.mark.timeout(0))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_COUNTS] = Counter()


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest) -> Tally:
    """Counts cases: ``tally("crash points killed", 1)``."""
    counts = request.config.stash[_COUNTS]

    def add(kind: str, cases: int) -> None:
        counts[kind] += cases

    return add


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandServer]:
    """Runs commands; one for all files, because its start costs as much as two commands."""
    with CommandServer(tmp_path_factory.mktemp("server")) as running:
        yield running


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:  # a process of xdist hands its counts to the one that reports
        output["robustness"] = dict(session.config.stash[_COUNTS])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    counts = getattr(node, "workeroutput", {}).get("robustness", {})
    node.config.stash[_COUNTS].update(counts)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    counts = config.stash[_COUNTS]
    if counts:
        terminalreporter.section("robustness")
        for kind in sorted(counts):
            terminalreporter.write_line(f"{kind:<48}{counts[kind]:>9,}")
        failed = len(terminalreporter.stats.get("failed", [])) + len(terminalreporter.stats.get("error", []))
        terminalreporter.write_line(f"{'failed tests (of all)':<48}{failed:>9,}")

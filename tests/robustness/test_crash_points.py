"""Every file operation of a command is struck once: by kill -9, by a full disk, by an I/O error.

After each, the same command as before must leave what it leaves without a fault: the same records, the same weights,
the same tables and figures, and no file more. In between, no run may be listed as done that is not.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.robustness.commands import CommandServer, Ended, Fault
from tests.robustness.conftest import Tally, chosen_points, worthwhile_points
from tests.robustness.scenarios import (
    COLLECTION,
    EVALUATION,
    PRETRAINING,
    Scenario,
    contents,
    held_locks,
    listing,
    write_images,
)

FAULTS = (Fault.KILL, Fault.KILL_HALF_WRITTEN, Fault.DISK_FULL, Fault.IO_ERROR)
NAMES = ("pretraining", "evaluation", "collection", "tables")
"""The commands; ``tables`` writes the index."""


@dataclass
class Undisturbed:
    """What a command does and leaves without a fault."""

    scenario: Scenario
    ended: Ended
    contents: dict[str, Any]
    listing: set[str]


@pytest.fixture(scope="module")
def undisturbed(server: CommandServer, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Undisturbed]:
    """Each command's undisturbed end, with what it started from; made when first asked for."""
    folder = tmp_path_factory.mktemp("commands")
    data = write_images(folder / "images")
    known: dict[str, Undisturbed] = {}

    def sweep(name: str, *parts: str) -> str:
        path = folder / f"{name}.yaml"
        path.write_text(PRETRAINING.format(name=name, data=data) + "".join(parts), encoding="utf-8")
        return str(path)

    def finish(scenario: Scenario) -> Undisturbed:
        if scenario.name not in known:
            runs = folder / scenario.name
            scenario.prepare(runs)
            ended = server.run(scenario.arguments(runs), runs)
            assert ended.status == scenario.status, ended.output
            known[scenario.name] = Undisturbed(scenario, ended, contents(runs), listing(runs))
        return known[scenario.name]

    def make(name: str) -> Undisturbed:
        if name == "pretraining":
            return finish(Scenario(name, "run", sweep("pretraining"), None))
        if name == "evaluation":
            make("pretraining")
            return finish(Scenario(name, "run", sweep("evaluation", EVALUATION), folder / "pretraining"))
        make("evaluation")
        if name == "tables":
            return finish(Scenario(name, "tables", "digits", folder / "evaluation", (), status=1))  # no digits here
        return finish(Scenario(name, "run", sweep("whole", EVALUATION, COLLECTION), folder / "evaluation"))

    return make


@dataclass
class Wrong:
    """What was found wrong, a line for each point."""

    lines: list[str] = field(default_factory=list)

    def note(self, point: int, ended: Ended, complaint: str) -> None:
        self.lines.append(f"operation {point} ({ended.what}), exit status {ended.status}: {complaint}")


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("name", NAMES)
def test_the_same_command_after_a_fault_leaves_what_it_leaves_without_one(
    name: str,
    fault: Fault,
    server: CommandServer,
    undisturbed: Callable[[str], Undisturbed],
    tmp_path: Path,
    tally: Tally,
) -> None:
    right = undisturbed(name)
    assert right.ended.operations > (3 if name == "tables" else 10)
    runs, wrong = tmp_path / "runs", Wrong()
    for point in chosen_points(worthwhile_points(right.ended.kinds, fault), zlib.crc32(f"{name} {fault}".encode())):
        right.scenario.prepare(runs)
        struck = server.run(right.scenario.arguments(runs), runs, point=point, fault=fault)
        if not struck.is_struck:  # a write of one byte has no half
            continue
        tally(f"crash points, {fault.name.lower().replace('_', ' ')}, {name}", 1)
        _check_between(wrong, point, struck, fault, right, runs)
        _check_after(wrong, point, struck, server, right, runs)
        if len(wrong.lines) > 200:
            break
    shutil.rmtree(runs, ignore_errors=True)
    assert not wrong.lines, "\n".join(wrong.lines)


def _check_between(wrong: Wrong, point: int, struck: Ended, fault: Fault, right: Undisturbed, runs: Path) -> None:
    """What the struck command says, and that what it leaves as done is right."""
    if struck.status is None:
        wrong.note(point, struck, "hung")
    for name, content in contents(runs).items():
        if name.startswith("report/"):
            continue
        if content != right.contents[name]:
            wrong.note(point, struck, f"{name} is listed as done with another content")
    if fault in (Fault.KILL, Fault.KILL_HALF_WRITTEN):
        return
    if "Traceback" in struck.output:
        wrong.note(point, struck, "a traceback: " + struck.output.strip().splitlines()[-1])
    if struck.status == right.scenario.status and contents(runs) != right.contents:
        wrong.note(point, struck, "the command did not do its work and said nothing")


def _check_after(
    wrong: Wrong, point: int, struck: Ended, server: CommandServer, right: Undisturbed, runs: Path
) -> None:
    """The same command again."""
    again = server.run(right.scenario.arguments(runs), runs)
    if again.status != right.scenario.status:
        return wrong.note(point, struck, f"again: exit status {again.status}: {again.output.strip()[-300:]}")
    found = contents(runs)
    for name in sorted(right.contents.keys() | found.keys()):
        if found.get(name) != right.contents.get(name):
            wrong.note(point, struck, f"again: {name} differs or is missing")
    if left := sorted(listing(runs) - right.listing):
        wrong.note(point, struck, f"again: left behind {left}")
    if missing := sorted(right.listing - listing(runs)):
        wrong.note(point, struck, f"again: missing {missing}")
    if held := held_locks(runs):
        wrong.note(point, struck, f"again: locks held {held}")
    return None

"""Every file operation of a submission is struck once; the same command again hands each run to SLURM exactly once.

A stand-in takes the jobs (tests/robustness/standin.py); tests/cluster has what only the real SLURM can show.
"""

from __future__ import annotations

import shutil
import zlib
from collections import Counter
from pathlib import Path

import pytest

from slurm.scheduler.ledger import Ledger
from tests.robustness.commands import CommandServer, Ended, Fault
from tests.robustness.conftest import Tally, chosen_points, worthwhile_points
from tests.robustness.scenarios import EVALUATION, PRETRAINING, Scenario, held_locks, run_directories, write_images
from tests.robustness.standin import StandIn

FAULTS = (Fault.KILL, Fault.KILL_HALF_WRITTEN, Fault.DISK_FULL, Fault.IO_ERROR)
RUNS = 3
FIRST, LAST, COPIES_PER_POINT = 40, 60, 20
"""Of the operations between the first and the last ones, one in so many is struck."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return StandIn(tmp_path_factory.mktemp("slurm") / "bin")


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    folder = tmp_path_factory.mktemp("submission")
    sweep = folder / "submission.yaml"
    data = write_images(folder / "images")
    sweep.write_text(PRETRAINING.format(name="submission", data=data) + EVALUATION, encoding="utf-8")
    return Scenario("submission", "run", str(sweep), None, ("--executor", "slurm", "--cluster", "test", "--yes"))


def submit(server: CommandServer, scenario: Scenario, slurm: StandIn, runs: Path, point: int, fault: Fault) -> Ended:
    return server.run(scenario.arguments(runs), runs, point=point, fault=fault, environment=slurm.environment)


def problems(slurm: StandIn, runs: Path) -> list[str]:
    """What is wrong with what SLURM holds, and what lies in the runs directory."""
    known = {each.name: each for each in Ledger(runs / ".slurm").submissions()}
    found = [f"batch {name} is in the queue and not in the ledger" for name in slurm.names() if name not in known]
    held = Counter(job for name in slurm.names() if name in known for job in known[name].job_ids)
    wanted = {run.run_id for run in run_directories(runs)}
    found += [f"{run_id} is submitted {held[run_id]} times" for run_id in wanted if held[run_id] != 1]
    found += [] if len(wanted) == RUNS else [f"{len(wanted)} configurations, not {RUNS}"]
    found += [f"left behind {path}" for path in runs.rglob(".*") if ".tmp" in path.name or "copying" in path.name]
    for name in slurm.names():
        if not list((runs / ".slurm" / name).glob("*_submitted.pkl")):
            found.append(f"batch {name} has no pickles under its number")
    return found + [f"lock held: {path}" for path in held_locks(runs)]


def without_most_copies(points: list[int]) -> list[int]:
    """The first and last points, which deal with runs and with SLURM, and one in twenty of those that copy the code."""
    last = max(len(points) - LAST, FIRST)
    return [*points[:FIRST], *points[FIRST:last:COPIES_PER_POINT], *points[last:]]


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
def test_each_run_reaches_slurm_once(
    fault: Fault, server: CommandServer, scenario: Scenario, slurm: StandIn, tmp_path: Path, tally: Tally
) -> None:
    runs = tmp_path / "runs"
    slurm.empty()
    whole = submit(server, scenario, slurm, runs, 0, Fault.NONE)
    assert whole.status == 0, whole.output
    assert problems(slurm, runs) == []
    wrong = []
    points, seed = worthwhile_points(whole.kinds, fault), zlib.crc32(fault.name.encode())
    for point in chosen_points(without_most_copies(points), seed):
        scenario.prepare(runs)
        slurm.empty()
        struck = submit(server, scenario, slurm, runs, point, fault)
        if not struck.is_struck:
            continue
        tally(f"crash points, {fault.name.lower().replace('_', ' ')}, submission", 1)
        where = f"operation {point} ({struck.what}), exit status {struck.status}"
        if "Traceback" in struck.output:
            wrong.append(f"{where}: a traceback: {struck.output.strip().splitlines()[-1]}")
        again = submit(server, scenario, slurm, runs, 0, Fault.NONE)
        if again.status != 0:
            wrong.append(f"{where}: again: exit status {again.status}: {again.output.strip()[-300:]}")
        wrong += [f"{where}: again: {problem}" for problem in problems(slurm, runs)]
    shutil.rmtree(runs, ignore_errors=True)
    assert not wrong, "\n".join(wrong)

"""Sweeps on the test cluster, through the command line as a user types it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.launch.jobs import PACKAGES
from bench.plan.graph import PlannedRun, plan_sweep
from bench.runs.states import statuses
from bench.sweep.load import load_sweep
from results.record import Record, read_record
from results.runs import RunDirectory
from tests.cluster.scheduler import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
STEPS_PER_EPOCH = 20
LONG = 6
"""Epochs of a pretraining that is still running when something happens to it right after its first."""


@dataclass(frozen=True)
class Sweep:
    """A sweep file and the directory its runs go to, whose name has what breaks careless quoting.

    ``checkout`` is where the command comes from; ``seconds_to_end`` is how long a command, or all runs, may take.
    """

    folder: Path
    text: str
    environment: Mapping[str, str] = field(default_factory=dict)
    checkout: Path = ROOT
    seconds_to_end: float = 400

    @property
    def runs(self) -> Path:
        return self.folder / "rüns of 'one' sweep"

    @property
    def tables(self) -> dict[str, str]:
        """The CSV files that a launch left, by name."""
        return {path.name: path.read_text() for path in self.runs.glob("report/*/tables/*.csv")}

    @property
    def file(self) -> Path:
        path = self.folder / "sweep.yaml"
        path.write_text(self.text, encoding="utf-8")
        return path

    def start(self, verb: str, *options: str, of: str | None = None) -> subprocess.Popen[str]:
        """``opera-bench <verb> SWEEP --runs … <options>`` under way; ``of`` stands in the sweep's place."""
        command = [sys.executable, "-m", "bench.cli", verb, of or str(self.file), "--runs", str(self.runs), *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **self.environment}
        return subprocess.Popen(
            command, cwd=self.checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __call__(self, verb: str, *options: str, of: str | None = None) -> str:
        """The same to its end, which must be a good one: everything it printed."""
        process = self.start(verb, *options, of=of)
        out, err = process.communicate(timeout=self.seconds_to_end)
        assert process.returncode == 0, out + err
        return out + err

    def submit(self, *options: str) -> str:
        return self("run", "--executor", "slurm", "--yes", *options)

    def jobs(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(self("status", "--format", "json"))["jobs"]
        return listed

    def states(self) -> Counter[str]:
        return Counter(job["state"] for job in self.jobs())

    def wait(self, predicate: Callable[[Counter[str]], bool], what: str) -> None:
        """Return once ``status`` lists runs in states that fulfil ``predicate``.

        Asks in this process first: a command for every look would take a core from the runs.
        """
        runs = plan_sweep(load_sweep(str(self.file))).runs
        wait_until(lambda: predicate(self._states_here(runs)) and predicate(self.states()), self.seconds_to_end, what)

    def _states_here(self, runs: Sequence[PlannedRun]) -> Counter[str]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return Counter(status.state.value for status in statuses(runs, self.runs))

    def wait_until_training(self, pretrainings: int = 1) -> None:
        """So many pretrainings have left a state to continue from."""
        states = "pretrain-*/checkpoints/training_state.pt"
        wait_until(lambda: len(list(self.runs.glob(states))) == pretrainings, 300, "the pretraining has saved a state")

    def wait_until_done(self) -> None:
        """Looks at the disk only: a command every moment would take a core from the runs."""
        planned = len(list(self.runs.glob("*/config.yaml")))
        records = "*/record.json"
        wait_until(
            lambda: len(list(self.runs.glob(records))) == planned, self.seconds_to_end, "every run has its record"
        )
        assert set(self.states()) == {"done"}

    def record(self, stage: str) -> Record:
        (path,) = self.runs.glob(f"{stage}-*/record.json")
        return read_record(path)

    def records(self) -> dict[str, Record]:
        return {path.parent.name: read_record(path) for path in self.runs.glob("*/record.json")}

    def metrics(self) -> dict[str, dict[str, float]]:
        return {run_id: dict(record.metrics) for run_id, record in self.records().items()}

    def directory(self, stage: str) -> RunDirectory:
        (path,) = self.runs.glob(f"{stage}-*")
        return RunDirectory(path)

    def slurm_ids(self) -> list[str]:
        """The numbers that ``sbatch`` answered, one a call."""
        rows = map(json.loads, (self.runs / ".slurm" / "ledger.jsonl").read_text().splitlines())
        return [row["slurm_id"] for row in rows if "slurm_id" in row]

    def submitted(self) -> Counter[str]:
        """How often each run was submitted."""
        rows = map(json.loads, (self.runs / ".slurm" / "ledger.jsonl").read_text().splitlines())
        return Counter(run_id for row in rows for run_id in row.get("job_ids", ()))


def under_way(folder: Path, text: str) -> Sweep:
    """A sweep that was submitted and whose pretraining has left a state to continue from."""
    sweep = Sweep(folder, text)
    sweep.submit()
    sweep.wait_until_training()
    return sweep


@contextlib.contextmanager
def held_up(sweep: Sweep) -> Iterator[None]:
    """The pretraining stands still in the block, as on a slow file system, so that no machine is too fast."""
    process = int(sweep.directory("pretrain").read_attempts()[-1]["pid"])
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


def assert_done_in(sweep: Sweep, attempts: int) -> None:
    """Every run is done, the pretraining in so many attempts, each of which is in its log."""
    sweep.wait_until_done()
    record = sweep.record("pretrain")
    assert record.attempts == attempts
    assert attempts_in_log(sweep.directory("pretrain")) == attempts
    assert sweep.record("knn").parents[0].checkpoint_sha256 == next(
        c.sha256 for c in record.checkpoints if c.role == "backbone"
    )


def attempts_in_log(run: RunDirectory) -> int:
    return (run.logs / "job.log").read_text().count("SLURM job ")


def uninterrupted(calm_runs: Path, sweep: Sweep) -> Sweep:
    """The same sweep where nothing happens to it, computed once for all tests that share the folder ``calm_runs``."""
    text = re.sub(r"(?s)^cluster: .*?\n(?=pretrain:)", "", sweep.text, flags=re.MULTILINE)
    folder = calm_runs / hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.mkdir(exist_ok=True)
    calm = Sweep(folder, text)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        calm("run", "--executor", "inline", "--yes")  # starts nothing where another process has computed all
    return calm


def copy_of_the_code(checkout: Path) -> Path:
    """``checkout``, filled with the packages as they are, for a test that changes them."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
    return checkout


def shim(folder: Path, name: str, script: str) -> dict[str, str]:
    """The environment in which ``script`` comes before one of SLURM's commands."""
    place = folder / "shims"
    place.mkdir()
    (place / name).write_text(f"#!/bin/sh\n{script}\n")
    (place / name).chmod(0o755)
    return {"PATH": f"{place}:{os.environ['PATH']}"}


def one_pretraining(epochs: int, *, cluster: str = "test", evaluate: str = "[knn]") -> str:
    """A sweep of one pretraining, ``STEPS_PER_EPOCH`` steps an epoch, and its evaluations."""
    return f"""\
name: faults
cluster: {cluster}
pretrain:
  - {{method: opera, backbone: tiny_vit, dataset: digits, epochs: {epochs}}}
evaluate: {evaluate}
tables: [digits]
"""

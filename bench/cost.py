"""Hours of GPUs, or of processors where there is none: what runs have taken, and what those that are left will take.

An hour here is one hour of one process, which has one GPU; on a processor one process counts as one, whatever the
number of its threads. What a run will take is known from finished runs of the same work, else it is the time limit that
the cluster's profile gives the stage, else it is not known.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Any

from bench.plan import IMPORT, PRETRAIN, PlannedRun
from bench.states import RunStatus
from results.errors import InputError
from results.record import Record, read_record
from results.runs import RunDirectory, RunState
from slurm.scheduler.profile import ClusterProfile

_GPU = re.compile(r"NVIDIA|GeForce|Quadro|Tesla|TITAN|[AHV]\d+\b|AMD (Instinct|Radeon)", re.IGNORECASE)
"""How drivers begin the names of GPUs; the kernel's names of processors begin otherwise."""
_ENDED = {RunState.DONE, RunState.FAILED, RunState.CANCELLED}


class Unit(StrEnum):
    """Whose hours are counted."""

    GPU = "GPU-hours"
    PROCESSOR = "processor-hours"


class Basis(StrEnum):
    """Where an estimate comes from."""

    MEASURED = "measured rates"
    PROFILE = "the profile's time limits"


@dataclass(frozen=True)
class Estimate:
    """``seconds`` on the clock, of ``processes`` at a time."""

    seconds: float
    processes: int
    unit: Unit
    basis: Basis

    @property
    def hours(self) -> float:
        """Of all processes together."""
        return self.seconds * self.processes / 3600


@dataclass(frozen=True)
class RunCost:
    """What one run has taken and what is left of it, in hours of ``unit``; None where that is not known.

    A run that has ended has nothing left, failed or not: what a retry would take is not planned. ``seconds_left`` is
    on the clock.
    """

    stage: str
    unit: Unit | None = None
    used: float | None = None
    left: float | None = None
    seconds_left: float | None = None
    basis: Basis | None = None

    def as_json(self) -> dict[str, Any]:
        """The keys that ``plan --format json`` and ``status --format json`` have for hours."""
        return {
            "hours_used": None if self.used is None else round(self.used, 4),
            "hours_left": None if self.left is None else round(self.left, 4),
            "hours_unit": self.unit and self.unit.value,
            "hours_left_from": self.basis and self.basis.value,
        }


@dataclass(frozen=True)
class Work:
    """What finished runs took, to be asked about others."""

    records: Mapping[tuple[object, ...], tuple[Record, ...]]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Work:
        known: dict[tuple[object, ...], tuple[Record, ...]] = {}
        for record in records:
            key = _kind(record.stage, record.config)
            known[key] = (*known.get(key, ()), record)
        return cls(known)

    def estimate(self, run: PlannedRun, unit: Unit | None) -> Estimate | None:
        """The median over finished runs of the same work on the device that did it last.

        Parameters
        ----------
        unit
            Only runs whose hours are these count; None: any.
        """
        found = self.records.get(_kind(run.stage, run.config), ())
        found = tuple(record for record in found if unit in (None, unit_of(record)))
        if not found:
            return None
        latest = max(found, key=lambda record: record.timing.finished_at)
        same = [r for r in found if _machine(r) == _machine(latest)]
        seconds = median(_seconds(record, run.config) for record in same)
        return Estimate(seconds, latest.machine.world_size, unit_of(latest), Basis.MEASURED)


def unit_of(record: Record) -> Unit:
    """Whose hours a finished run took, by the name of its device."""
    return Unit.GPU if _GPU.match(record.machine.device) else Unit.PROCESSOR


def profile_estimate(stage: str, profile: ClusterProfile) -> Estimate:
    """One attempt that takes its whole time limit."""
    wanted = profile.resources(stage)
    unit = Unit.GPU if wanted.gpus else Unit.PROCESSOR
    return Estimate(60.0 * wanted.minutes, wanted.processes, unit, Basis.PROFILE)


def estimate(run: PlannedRun, work: Work, profile: ClusterProfile | None) -> Estimate | None:
    """What a run takes from beginning to end; None where nothing tells."""
    if profile is None:
        return work.estimate(run, None)
    guess = profile_estimate(run.stage, profile)
    return work.estimate(run, guess.unit) or guess


def recorded_cost(record: Record) -> RunCost:
    """The cost of a finished run."""
    used = record.timing.seconds * record.machine.world_size / 3600
    return RunCost(record.stage, unit_of(record), used, left=0.0, seconds_left=0.0)


def unfinished_cost(stage: str, state: RunState, seconds_used: float, expected: Estimate | None) -> RunCost:
    """The cost of a run without a record, whose attempts took ``seconds_used`` so far."""
    has_ended = state in _ENDED
    if expected is None:
        known = 0.0 if has_ended else None
        return RunCost(stage, used=None if seconds_used else 0.0, left=known, seconds_left=known)
    left = 0.0 if has_ended else max(expected.seconds - seconds_used, 0.0)
    hours = expected.processes / 3600
    basis = None if has_ended else expected.basis
    return RunCost(stage, expected.unit, seconds_used * hours, left * hours, left, basis)


def seconds_of_attempts(attempts: Sequence[Mapping[str, Any]], until: datetime) -> float:
    """How long a run has computed, the last of its attempts up to ``until``."""
    if not attempts:
        return 0.0
    last = attempts[-1]
    ran = (until - datetime.fromisoformat(last["started_at"])).total_seconds()
    return float(last["seconds_before"]) + max(ran, 0.0)


def read_costs(
    found: Sequence[RunStatus], directory: Path, profile: ClusterProfile | None, now: datetime
) -> list[RunCost]:
    """The cost of each run, estimates from whatever has finished under ``directory``. Unreadable records are left out.

    Parameters
    ----------
    profile
        The cluster that is to run what is left, where that is known.
    now
        With a time zone.
    """
    records = {record.run_id: record for path in directory.glob("*/record.json") if (record := _read(path))}
    work = Work.of(records.values())
    costs = []
    for status in found:
        run = status.run
        if run.run_id in records:
            costs.append(recorded_cost(records[run.run_id]))
            continue
        place = RunDirectory(directory / run.run_id)
        until = now if status.state is RunState.RUNNING else _last_seen(place, now)
        seconds = seconds_of_attempts(place.read_attempts(), until)
        costs.append(unfinished_cost(run.stage, status.state, seconds, estimate(run, work, profile)))
    return costs


def read_estimates(runs: Sequence[PlannedRun], directory: Path, profile: ClusterProfile | None) -> dict[str, Estimate]:
    """What each run takes from beginning to end, by its id: as it took where it has finished, else as estimated.

    Runs of which nothing tells are left out.
    """
    records = {record.run_id: record for path in directory.glob("*/record.json") if (record := _read(path))}
    work = Work.of(records.values())
    found = {}
    for run in runs:
        if record := records.get(run.run_id):
            processes = record.machine.world_size
            found[run.run_id] = Estimate(record.timing.seconds, processes, unit_of(record), Basis.MEASURED)
        elif guess := estimate(run, work, profile):
            found[run.run_id] = guess
    return found


def expected_end(found: Sequence[RunStatus], costs: Sequence[RunCost], now: datetime) -> datetime | None:
    """When the last run ends if as many run at a time as do now; None when nothing runs or an estimate is missing."""
    at_a_time = sum(status.state is RunState.RUNNING for status in found)
    left = [cost.seconds_left for cost in costs]
    known = [seconds for seconds in left if seconds is not None]
    if not at_a_time or len(known) < len(left):
        return None
    return now + timedelta(seconds=max(sum(known) / at_a_time, max(known)))


def _kind(stage: str, config: Mapping[str, Any]) -> tuple[object, ...]:
    """What runs that take equally long per epoch have in common."""
    subject = config[PRETRAIN]
    if stage == IMPORT:
        return stage, subject["backbone"], config[IMPORT]["format"]
    settings = config.get("evaluator") or subject
    return stage, subject["backbone"], settings["dataset"], settings.get("method"), settings.get("image_size")


def _machine(record: Record) -> tuple[str, int]:
    return record.machine.device, record.machine.world_size


def _seconds(record: Record, config: Mapping[str, Any]) -> float:
    """How long a run of this configuration would have taken where ``record`` was computed."""
    if record.stage == IMPORT:
        return record.timing.seconds
    part = PRETRAIN if record.stage == PRETRAIN else "evaluator"
    epochs, measured_epochs = config[part].get("epochs"), record.config[part].get("epochs")
    images = record.dataset.sizes.get("train")
    if part == PRETRAIN and record.images_per_second and images and epochs:
        return float(epochs * images / record.images_per_second)
    return record.timing.seconds * (epochs / measured_epochs if epochs and measured_epochs else 1.0)


def _last_seen(place: RunDirectory, now: datetime) -> datetime:
    """When the run's last attempt was last heard of; its start where it never was."""
    try:
        return datetime.fromtimestamp(place.progress.stat().st_mtime, now.tzinfo)
    except FileNotFoundError:
        return datetime.fromtimestamp(0, now.tzinfo)


def _read(path: Path) -> Record | None:
    try:
        return _read_unchanged(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@functools.cache
def _read_unchanged(path: Path, _: int) -> Record | None:
    """A record is read once, however often a status that is watched looks."""
    try:
        return read_record(path)
    except (InputError, UnicodeDecodeError):
        return None

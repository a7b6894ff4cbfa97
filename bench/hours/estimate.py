"""How long runs take: as finished runs of the same work did, else the time limit that a cluster's profile gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Any

from bench.plan.graph import IMPORT, PRETRAIN, PlannedRun
from results.record import Record
from results.runs import RunDirectory
from results.store import checked_record, run_names
from slurm.scheduler.profile import ClusterProfile


class Unit(StrEnum):
    """Whose hours are counted."""

    GPU = "GPU-hours"
    PROCESSOR = "processor-hours"


class Basis(StrEnum):
    """Where an estimate comes from."""

    MEASURED = "measured rates"
    PROFILE = "the profile's time limits, one attempt each"


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
    """Whose hours a finished run took."""
    return Unit.GPU if record.machine.device_kind == "cuda" else Unit.PROCESSOR


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
    if run.stage == PRETRAIN and run.config["pretrain"]["epochs"] == 0:
        guess = replace(guess, seconds=0.0)  # random weights
    return work.estimate(run, guess.unit) or guess


def finished_records(directory: Path) -> dict[str, Record]:
    """The readable records of the runs in a directory, by run id."""
    if not directory.is_dir():
        return {}
    places = (RunDirectory(directory / name) for name in run_names(directory))
    return {place.run_id: record for place in places if (record := checked_record(place.record)[0])}


def read_estimates(runs: Sequence[PlannedRun], directory: Path, profile: ClusterProfile | None) -> dict[str, Estimate]:
    """What each run takes from beginning to end, by its id: as it took where it has finished, else as estimated.

    Runs of which nothing tells are left out.
    """
    records = finished_records(directory)
    work = Work.of(records.values())
    found = {}
    for run in runs:
        if record := records.get(run.run_id):
            processes = record.machine.world_size
            found[run.run_id] = Estimate(record.timing.seconds, processes, unit_of(record), Basis.MEASURED)
        elif guess := estimate(run, work, profile):
            found[run.run_id] = guess
    return found


def _kind(stage: str, config: Mapping[str, Any]) -> tuple[object, ...]:
    """What runs that take equally long per epoch have in common."""
    subject, source = config.get(PRETRAIN, {}), config.get(IMPORT, {})
    if stage == IMPORT:
        return stage, subject.get("backbone"), source.get("format")
    settings = config.get("evaluator") or subject
    names = ("dataset", "method", "image_size")
    return stage, subject.get("backbone"), *(settings.get(name) for name in names)


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

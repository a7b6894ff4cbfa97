"""Estimates how long runs take, from finished runs of the same work or from the executor's time limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Any

from bench.plan.graph import IMPORT, PRETRAIN, PlannedRun
from results.record import Record
from results.runs import RunDirectory
from results.store import checked_record, run_names
from slurm.job import ExecutorOptions, Resources


class Unit(StrEnum):
    """The device type whose hours are counted."""

    GPU = "GPU-hours"
    PROCESSOR = "processor-hours"


class Basis(StrEnum):
    """The source of an estimate."""

    MEASURED = "measured rates"
    PROFILE = "the profile's time limits, one attempt each"


@dataclass(frozen=True)
class Estimate:
    """An estimated run: ``seconds`` of wall-clock time on ``processes`` parallel processes."""

    seconds: float
    processes: int
    unit: Unit
    basis: Basis

    @property
    def hours(self) -> float:
        """Hours of all processes together."""
        return self.seconds * self.processes / 3600


@dataclass(frozen=True)
class Work:
    """Records of finished runs, grouped by kind of work, from which other runs are estimated."""

    records: Mapping[tuple[object, ...], tuple[Record, ...]]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Work:
        known: dict[tuple[object, ...], tuple[Record, ...]] = {}
        for record in records:
            key = _kind(record.stage, record.config)
            known[key] = (*known.get(key, ()), record)
        return cls(known)

    def estimate(self, run: PlannedRun, unit: Unit | None) -> Estimate | None:
        """Return the median over finished runs of the same work, on the latest one's device and process count, or None.

        Parameters
        ----------
        unit
            Count only runs with hours of this unit; None counts all.
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
    """Return the unit of a finished run's hours."""
    return Unit.GPU if record.machine.device_kind == "cuda" else Unit.PROCESSOR


def limit_estimate(resources: Resources) -> Estimate:
    """Return the estimate of one attempt that uses its whole time limit."""
    unit = Unit.GPU if resources.gpus else Unit.PROCESSOR
    return Estimate(60.0 * resources.minutes, resources.processes, unit, Basis.PROFILE)


def estimate(run: PlannedRun, work: Work, options: ExecutorOptions | None) -> Estimate | None:
    """Return the estimate of a whole run, from finished runs or else from the executor's time limits, or None."""
    resources = None if options is None else options.resources(run.stage)
    if resources is None:
        return work.estimate(run, None)
    guess = limit_estimate(resources)
    if run.stage == PRETRAIN and run.config["pretrain"]["epochs"] == 0:
        guess = replace(guess, seconds=0.0)  # random weights
    return work.estimate(run, guess.unit) or guess


def finished_records(directory: Path) -> dict[str, Record]:
    """Return the readable records of the runs in a directory, by run id."""
    if not directory.is_dir():
        return {}
    runs = (RunDirectory(directory / name) for name in run_names(directory))
    return {run.run_id: record for run in runs if (record := checked_record(run.record)[0])}


def _kind(stage: str, config: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the key of the kind of work: runs with equal keys take equally long per epoch."""
    subject, source = config.get(PRETRAIN, {}), config.get(IMPORT, {})
    if stage == IMPORT:
        return stage, subject.get("backbone"), source.get("format")
    settings = config.get("evaluator") or subject
    names = ("dataset", "method", "image_size")
    return stage, subject.get("backbone"), *(settings.get(name) for name in names)


def _machine(record: Record) -> tuple[str, int]:
    return record.machine.device, record.machine.world_size


def _seconds(record: Record, config: Mapping[str, Any]) -> float:
    """Return the seconds that a run with ``config`` would take on the machine of ``record``."""
    if record.stage == IMPORT:
        return record.timing.seconds
    part = PRETRAIN if record.stage == PRETRAIN else "evaluator"
    epochs, measured_epochs = config[part].get("epochs"), record.config[part].get("epochs")
    images = record.dataset.sizes.get("train")
    if part == PRETRAIN and record.images_per_second and images and epochs:
        return float(epochs * images / record.images_per_second)
    return record.timing.seconds * (epochs / measured_epochs if epochs and measured_epochs else 1.0)

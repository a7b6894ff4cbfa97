"""Hours of GPUs, or of processors where there is none: what runs have taken, and what those that are left will take.

An hour here is one hour of one process, which has one GPU; on a processor one process counts as one, whatever the
number of its threads. If a run has ended and the scheduler charged for its jobs, the charged hours count instead: the
jobs' GPUs, or the processors of jobs without GPUs, for as long as the jobs held them. What a run will take is known
from finished runs of the same work, else it is the time limit that the cluster's profile gives the stage, else it is
not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.hours.estimate import Basis, Estimate, Unit, Work, estimate, finished_records, unit_of
from bench.runs.states import RunStatus
from results.record import Record
from results.runs import RunDirectory, RunState, modified_at
from slurm.scheduler.profile import ClusterProfile

_ENDED = {RunState.DONE, RunState.FAILED, RunState.CANCELLED}


@dataclass(frozen=True)
class RunCost:
    """What one run has taken and what is left of it, in hours of ``unit``; None where that is not known.

    A run that has ended has nothing left, failed or not: what a retry would take is not planned. ``seconds_left`` is
    on the clock. If ``is_charged``, the scheduler charged ``used``; else the run spent them computing.
    """

    stage: str
    unit: Unit | None = None
    used: float | None = None
    left: float | None = None
    seconds_left: float | None = None
    basis: Basis | None = None
    is_charged: bool = False

    @property
    def charged(self) -> float | None:
        return self.used if self.is_charged else 0.0

    @property
    def computing(self) -> float | None:
        return 0.0 if self.is_charged else self.used

    def as_json(self) -> dict[str, Any]:
        """The keys that ``plan --format json`` and ``status --format json`` have for hours."""
        return {
            "hours_used": None if self.used is None else round(self.used, 4),
            "hours_used_are": "charged" if self.is_charged else "computing",
            "hours_left": None if self.left is None else round(self.left, 4),
            "hours_unit": self.unit and self.unit.value,
            "hours_left_from": self.basis and self.basis.value,
        }


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


def charged_cost(computed: RunCost, status: RunStatus, attempts: Sequence[Mapping[str, Any]]) -> RunCost:
    """The cost with the hours that the scheduler charged; as it was where the scheduler does not know all of them.

    Accounting may count processors and no GPUs (``AccountingStorageTRES``). An attempt may have run outside the jobs.
    """
    charge = status.charge
    if charge is None or status.state not in _ENDED:
        return computed
    if any(row.get("scheduler_job_id") not in charge.numbers for row in attempts):
        return computed
    if computed.unit is Unit.GPU and not charge.is_of_gpus:
        return computed
    unit = Unit.GPU if charge.is_of_gpus else Unit.PROCESSOR
    return replace(computed, unit=unit, used=charge.hours, is_charged=True)


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
    records = finished_records(directory)
    work = Work.of(records.values())
    costs = []
    for status in found:
        run = status.run
        place = RunDirectory(directory / run.run_id)
        attempts = place.read_attempts()
        if run.run_id in records and status.state is RunState.DONE:
            computed = recorded_cost(records[run.run_id])
        else:
            until = now if status.state is RunState.RUNNING else _last_seen(place, now)
            seconds = seconds_of_attempts(attempts, until)
            computed = unfinished_cost(run.stage, status.state, seconds, estimate(run, work, profile))
        costs.append(charged_cost(computed, status, attempts))
    return costs


def expected_end(found: Sequence[RunStatus], costs: Sequence[RunCost], now: datetime) -> datetime | None:
    """When the last run ends if as many run at a time as do now; None when nothing runs or an estimate is missing."""
    at_a_time = sum(status.state is RunState.RUNNING for status in found)
    left = [cost.seconds_left for cost in costs]
    known = [seconds for seconds in left if seconds is not None]
    if not at_a_time or len(known) < len(left):
        return None
    return now + timedelta(seconds=max(sum(known) / at_a_time, max(known)))


def _last_seen(place: RunDirectory, now: datetime) -> datetime:
    """When the run's last attempt was last heard of; its start where it never was."""
    return datetime.fromtimestamp(modified_at(place.progress), now.tzinfo)

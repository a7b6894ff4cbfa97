"""Computes the GPU-hours or processor-hours that runs have used and that unfinished runs will still need.

Used hours are hours times processes: each process has one GPU, or counts as one processor whatever its threads. If a
run has ended and the scheduler charged for its jobs, the charged hours replace them: the jobs' GPUs, or the processors
of jobs without GPUs, times the hours for which the jobs held them. Needed hours come from finished runs of the same
work; without those, from the executor's time limit of the stage; without a limit, they are unknown.
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
from slurm.job import ExecutorOptions

_ENDED = {RunState.DONE, RunState.FAILED, RunState.CANCELLED}


@dataclass(frozen=True)
class RunCost:
    """Hours of ``unit`` that one run has used and has left; None if unknown.

    An ended run, failed or not, has 0 hours left: a retry is not planned. ``seconds_left`` is wall-clock time. If
    ``is_charged`` is True, ``used`` holds hours that the scheduler charged, else hours of computing.
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
        """Return the fields about hours in ``plan --format json`` and ``status --format json``."""
        return {
            "hours_used": None if self.used is None else round(self.used, 4),
            "hours_used_are": "charged" if self.is_charged else "computing",
            "hours_left": None if self.left is None else round(self.left, 4),
            "hours_unit": self.unit and self.unit.value,
            "hours_left_from": self.basis and self.basis.value,
        }


def recorded_cost(record: Record) -> RunCost:
    """Return the cost of a finished run."""
    used = record.timing.seconds * record.machine.world_size / 3600
    return RunCost(record.stage, unit_of(record), used, left=0.0, seconds_left=0.0)


def unfinished_cost(stage: str, state: RunState, seconds_used: float, expected: Estimate | None) -> RunCost:
    """Return the cost of a run without a record, whose attempts took ``seconds_used`` so far."""
    has_ended = state in _ENDED
    if expected is None:
        known = 0.0 if has_ended else None
        return RunCost(stage, used=None if seconds_used else 0.0, left=known, seconds_left=known)
    left = 0.0 if has_ended else max(expected.seconds - seconds_used, 0.0)
    hours = expected.processes / 3600
    basis = None if has_ended else expected.basis
    return RunCost(stage, expected.unit, seconds_used * hours, left * hours, left, basis)


def seconds_of_attempts(attempts: Sequence[Mapping[str, Any]], until: datetime) -> float:
    """Return the seconds that a run has computed, over all attempts; the last attempt counts up to ``until``."""
    if not attempts:
        return 0.0
    last = attempts[-1]
    ran = (until - datetime.fromisoformat(last["started_at"])).total_seconds()
    return float(last["seconds_before"]) + max(ran, 0.0)


def charged_cost(computed: RunCost, status: RunStatus, attempts: Sequence[Mapping[str, Any]]) -> RunCost:
    """Return ``computed`` with the charged hours as used hours; unchanged if the scheduler lacks some of them.

    The scheduler lacks hours if its accounting counts no GPUs (``AccountingStorageTRES``), or if an attempt ran outside
    its jobs.
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
    statuses: Sequence[RunStatus], directory: Path, options: ExecutorOptions | None, now: datetime
) -> list[RunCost]:
    """Return the cost of each run, estimated from the readable records under ``directory``.

    Parameters
    ----------
    options
        Of the executor that will compute unfinished runs; None if unknown.
    now
        The current time with a time zone.
    """
    records = finished_records(directory)
    work = Work.of(records.values())
    costs = []
    for status in statuses:
        run = status.run
        run_directory = RunDirectory(directory / run.run_id)
        attempts = run_directory.read_attempts()
        if run.run_id in records and status.state is RunState.DONE:
            computed = recorded_cost(records[run.run_id])
        else:
            until = now if status.state is RunState.RUNNING else _last_seen(run_directory, now)
            seconds = seconds_of_attempts(attempts, until)
            computed = unfinished_cost(run.stage, status.state, seconds, estimate(run, work, options))
        costs.append(charged_cost(computed, status, attempts))
    return costs


def expected_end(statuses: Sequence[RunStatus], costs: Sequence[RunCost], now: datetime) -> datetime | None:
    """Return when the last run will end if as many run in parallel as now; None if none runs or a time is unknown."""
    at_a_time = sum(status.state is RunState.RUNNING for status in statuses)
    left = [cost.seconds_left for cost in costs]
    known = [seconds for seconds in left if seconds is not None]
    if not at_a_time or len(known) < len(left):
        return None
    return now + timedelta(seconds=max(sum(known) / at_a_time, max(known)))


def _last_seen(run_directory: RunDirectory, now: datetime) -> datetime:
    """Return the time of the run's last heartbeat; 1970 without one, so that the attempt counts as 0 seconds."""
    return datetime.fromtimestamp(modified_at(run_directory.progress), now.tzinfo)

"""Hours that accounting charged: time of each allocation × its GPUs, or × its processors if it had no GPUs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from slurm.job import Charge
from slurm.scheduler.commands import Row
from slurm.scheduler.ledger import Entry, job_key

Hours = tuple[float, float]
"""GPU hours, and processor hours of allocations without GPUs. The queue's file stores them as a list."""


def is_hours(value: object) -> bool:
    """Return whether ``value`` is ``Hours`` as stored in the queue's file."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, float) for part in value)


def charged_hours(rows: Iterable[Row]) -> Hours | None:
    """Return the total hours of these allocations; None if a row lacks its time or its processors."""
    of_gpus = of_processors = 0.0
    for row in rows:
        held = dict(part.split("=", 1) for part in row.allocated.split(",") if "=" in part)
        # If AccountingStorageTRES lists only GPU types, a row has gres/gpu:a100=4 and no gres/gpu=4.
        of_types = [count for name, count in held.items() if name.startswith("gres/gpu:")]
        gpus = [held["gres/gpu"]] if "gres/gpu" in held else of_types
        counts = gpus or [held.get("cpu", "")]
        if row.elapsed_seconds == "0":
            continue
        if not all(number.isdecimal() for number in (row.elapsed_seconds, *counts)):
            return None
        hours = int(row.elapsed_seconds) * sum(map(int, counts)) / 3600
        if gpus:
            of_gpus += hours
        else:
            of_processors += hours
    return of_gpus, of_processors


def without_charge(
    entries: Sequence[Entry], ended: Iterable[str], charges: Mapping[str, Sequence[float] | None]
) -> list[Entry]:
    """Return the ended or resubmitted jobs whose hours have not been read from accounting yet.

    Parameters
    ----------
    ended, charges
        Keys are the jobs' keys (``Entry.key``).
    """
    latest = {entry.job_id: entry for entry in entries}
    over = set(ended)
    return [
        entry
        for entry in entries
        if entry.slurm_id and entry.key not in charges and (entry.key in over or entry is not latest[entry.job_id])
    ]


def read_charges(entries: Iterable[Entry], accounts: Iterable[Row]) -> dict[str, Hours | None]:
    """Return the hours of each job by its key; None where accounting has no record.

    A job that accounting still lists as active is left out, so that the next query asks again.
    """
    rows: dict[str, list[Row]] = {}
    names = set()
    for row in accounts:
        rows.setdefault(job_key(row.name, row.slurm_id), []).append(row)
        names.add(row.name)
    hours: dict[str, Hours | None] = {}
    for entry in entries:
        of_job = rows.get(entry.key, [])
        if of_job and of_job[-1].view().standing.is_active:
            continue
        # SLURM drops the record of an array element that is cancelled before it starts, but keeps that of the array.
        is_known = bool(of_job) or (entry.name in names and "_" in str(entry.slurm_id))
        hours[entry.key] = charged_hours(of_job) if is_known else None
    return hours


def total_charges(entries: Iterable[Entry], charges: Mapping[str, Sequence[float] | None]) -> dict[str, Charge]:
    """Return the total charge of each piece of work by its id, over all jobs submitted for it.

    Work is left out if the hours of one of its jobs are unknown, or if only some of its jobs had GPUs.
    """
    submitted: dict[str, list[Entry]] = {}
    for entry in entries:
        submitted.setdefault(entry.job_id, []).append(entry)
    found = {}
    for job_id, jobs in submitted.items():
        hours = [charges.get(job.key) for job in jobs]
        known = [each for each in hours if each is not None]
        of_gpus, of_processors = (sum(each[part] for each in known) for part in (0, 1))
        if len(known) == len(hours) and not (of_gpus and of_processors):
            numbers = frozenset(str(job.slurm_id) for job in jobs)
            found[job_id] = Charge(of_gpus or of_processors, of_gpus > 0, numbers)
    return found

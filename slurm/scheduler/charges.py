"""Hours that accounting charged: how long jobs held their allocations, times the GPUs, or else the processors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from slurm.job import Charge
from slurm.scheduler.commands import Row
from slurm.scheduler.ledger import Entry, job_key

Hours = tuple[float, float]
"""Of GPUs, and of processors of allocations without GPUs. The queue's file holds them as a list."""


def is_hours(value: object) -> bool:
    """Whether this is ``Hours`` as the queue's file holds them."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, float) for part in value)


def charged_hours(rows: Iterable[Row]) -> Hours | None:
    """The hours of these allocations together; None if a row does not say its own."""
    of_gpus = of_processors = 0.0
    for row in rows:
        held = dict(part.split("=", 1) for part in row.allocated.split(",") if "=" in part)
        # Where AccountingStorageTRES names types of GPUs only, there is gres/gpu:a100=4 and no gres/gpu=4.
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
    """The jobs that have ended, or were submitted again since, and whose hours the accounts were not asked for yet.

    Parameters
    ----------
    ended, charges
        By the job's key.
    """
    latest = {entry.job_id: entry for entry in entries}
    over = set(ended)
    return [
        entry
        for entry in entries
        if entry.slurm_id and entry.key not in charges and (entry.key in over or entry is not latest[entry.job_id])
    ]


def read_charges(entries: Iterable[Entry], accounts: Iterable[Row]) -> dict[str, Hours | None]:
    """The hours of each job by its key; None where the accounts do not know them.

    A job whose end has not reached the accounts yet is left out, to be asked for again.
    """
    rows: dict[str, list[Row]] = {}
    names = set()
    for row in accounts:
        rows.setdefault(job_key(row.name, row.slurm_id), []).append(row)
        names.add(row.name)
    found: dict[str, Hours | None] = {}
    for entry in entries:
        own = rows.get(entry.key, [])
        if own and own[-1].view().standing.is_active:
            continue
        # SLURM forgets an array's element that is cancelled before it starts; the array itself it still knows.
        is_known = bool(own) or (entry.name in names and "_" in str(entry.slurm_id))
        found[entry.key] = charged_hours(own) if is_known else None
    return found


def total_charges(entries: Iterable[Entry], charges: Mapping[str, Sequence[float] | None]) -> dict[str, Charge]:
    """What each piece of work was charged, over all jobs that were submitted for it, by its id.

    Work is left out while the hours of one of its jobs are not known, and if some jobs had GPUs and others had none.
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

"""Reads the state of all jobs of a ledger with one ``squeue`` and at most one ``sacct``, however many jobs there are.

Answers are cached in a file beside the ledger, longer if the controller is slow or does not answer, so that many
commands don't overload it. Accounting is asked once how a job ended and for how many hours. The queue is still
asked about failed and cancelled jobs, because an administrator can requeue them.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slurm.errors import InputError
from slurm.scheduler.charges import is_hours, read_charges, total_charges, without_charge
from slurm.scheduler.commands import Row, Standing, View, cancel_jobs, sacct, squeue
from slurm.scheduler.ledger import Entry, Ledger, job_key

SECONDS_KEPT = 10.0
SLOW_FACTOR = 20
"""An answer that took t seconds is kept for SLOW_FACTOR * t seconds, if that is longer than SECONDS_KEPT."""
LONGEST_KEPT_SECONDS = 300.0
LONGEST_SILENCE_SECONDS = 30.0
"""Longest time before a controller that did not answer is asked again."""


class Queue:
    """The scheduler's answers about the jobs of one ledger."""

    def __init__(self, folder: Path) -> None:
        self._ledger = Ledger(folder)
        self._file = folder / "queue.json"

    def views(self, *, fresh: bool = False) -> dict[str, View]:
        """Return the scheduler's answer about each submitted job, by the suite's job id.

        Parameters
        ----------
        fresh
            Ask the scheduler, even if the cached answer is recent.
        """
        submitted = tuple(self._ledger.entries())
        entries = {entry.job_id: entry for entry in submitted}
        given_up = self._ledger.given_up()
        if not entries and not given_up:
            return {}
        kept = self._read()
        ended: dict[str, list[str]] = kept.get("ended", {})
        open_entries = [entry for entry in entries.values() if not _has_succeeded(entry, ended)]
        is_recent = 0 <= time.time() - kept.get("at", 0) < kept.get("seconds_kept", 0)
        uncharged = without_charge(submitted, ended, kept.get("charges", {}))
        covers = {entry.name for entry in (*open_entries, *uncharged)} <= set(kept.get("asked", ()))
        if (open_entries or uncharged or given_up) and (fresh or not is_recent or not covers):
            kept = self._ask(submitted, open_entries, kept, given_up)
            ended = kept["ended"]
        charges = total_charges(submitted, kept.get("charges", {}))
        shown = {key: View(Standing(word), *rest) for key, word, *rest in kept.get("views", ())}
        found = {}
        for entry in entries.values():
            view = _ended_view(entry, ended) or shown.get(entry.key)
            found[entry.job_id] = replace(
                view or _missing_view(entry, kept),
                asked_at=kept.get("asked_at", 0.0),
                had_failed=entry.key in kept.get("had_failed", ()),
                charge=charges.get(entry.job_id),
            )
        return found

    def forget_answers(self) -> None:
        """Delete the cached answers, those about ended jobs too, so that the next call asks again."""
        self._file.unlink(missing_ok=True)

    def _ask(
        self, submitted: Sequence[Entry], entries: Sequence[Entry], before: Mapping[str, Any], given_up: set[str]
    ) -> dict[str, Any]:
        """Ask about ``entries``, and for the hours of those of ``submitted`` that are missing in ``before``."""
        ended, charges = before.get("ended", {}), before.get("charges", {})
        asked_at, started = self._file_system_seconds(), time.monotonic()
        names = {entry.name for entry in entries}
        queued = squeue()
        _cancel_late_jobs(queued or (), given_up)
        rows = _by_key(queued or (), names)
        known = {**rows, **ended}
        left = [entry for entry in entries if entry.key not in known and entry.slurm_id]
        uncharged = without_charge(submitted, {**ended, **_ends(rows)}, charges)
        accounts: tuple[Row, ...] | None = ()
        if queued is not None and (left or uncharged):
            accounts = sacct({str(entry.slurm_id).partition("_")[0] for entry in (*left, *uncharged)})
            rows = {**_by_key(filter(_is_credible, accounts or ()), names), **rows}
        seconds = time.monotonic() - started
        views = {key: row.view() for key, row in rows.items()}
        over = {**ended, **_ends(rows)}
        back = {key for key, view in views.items() if view.standing.is_active}
        if queued is not None and accounts is not None:
            charges = charges | read_charges(without_charge(submitted, over, charges), accounts)
        answered = queued is not None and (accounts is not None or not left)
        kept = {
            "at": time.time(),
            "asked_at": asked_at,
            "seconds_kept": min(
                max(SECONDS_KEPT, SLOW_FACTOR * seconds), LONGEST_KEPT_SECONDS if answered else LONGEST_SILENCE_SECONDS
            ),
            "answered": answered,
            "asked": sorted(names | {entry.name for entry in uncharged}),
            "known": sorted({row.name for row in rows.values()}),
            "views": [[key, view.standing.value, view.detail, view.slurm_id] for key, view in views.items()],
            "ended": {key: view for key, view in over.items() if key not in back},
            "charges": {key: hours for key, hours in charges.items() if key not in back},
            "had_failed": sorted({*before.get("had_failed", ()), *(back & ended.keys())}),
        }
        self._write(kept)
        return kept

    def _file_system_seconds(self) -> float:
        """Return the time by the clock that dates the files beside the ledger; other hosts' clocks may differ."""
        try:
            with tempfile.TemporaryFile(dir=self._file.parent) as file:
                return os.fstat(file.fileno()).st_mtime
        except OSError:
            return time.time()

    def _read(self) -> dict[str, Any]:
        try:
            loaded = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return loaded if _is_valid(loaded) else {}

    def _write(self, kept: Mapping[str, Any]) -> None:
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}.tmp")
        # If the answer can't be cached, the next call asks again.
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(kept), encoding="utf-8")
            temporary.replace(self._file)


def _cancel_late_jobs(rows: Iterable[Row], given_up: set[str]) -> None:
    """Cancel jobs that reached the queue after their submission was given up: their runs may be submitted again."""
    late = [row for row in rows if row.name in given_up and row.view().standing.is_active]
    try:
        cancel_jobs([row.view() for row in late])
    except InputError as error:
        print(f"a job whose submission had been given up is in the queue: {error}", file=sys.stderr)
        return
    for row in late:
        print(f"cancelled SLURM job {row.slurm_id}, {row.name}: its submission had been given up", file=sys.stderr)


def _is_valid(kept: Any) -> bool:
    """Return whether ``kept`` is what ``_ask`` writes; an edited or damaged file is ignored."""
    if not isinstance(kept, dict) or not all(isinstance(kept.get(name), dict) for name in ("ended", "charges")):
        return False
    if not all(hours is None or is_hours(hours) for hours in kept["charges"].values()):
        return False
    lists = all(isinstance(kept.get(name), list) for name in ("asked", "known", "views"))
    return lists and all(isinstance(kept.get(name), float | int) for name in ("at", "seconds_kept", "answered"))


def _by_key(rows: Iterable[Row], names: set[str]) -> dict[str, Row]:
    return {job_key(row.name, row.slurm_id): row for row in rows if row.name in names}


def _ends(rows: Mapping[str, Row]) -> dict[str, list[Any]]:
    """Return the ended jobs of ``rows`` in the form stored in the file."""
    views = {key: row.view() for key, row in rows.items()}
    return {key: [v.standing.value, v.detail, v.slurm_id] for key, v in views.items() if v.standing.is_over}


def _is_credible(row: Row) -> bool:
    """Return whether to believe an accounting row of a job that is not in the queue.

    The queue lists all active jobs of this user. If only accounting lists a job of this user as pending or running, the
    controller crashed and lost the job; another job may have its id by now. Other users' jobs are never in this user's
    queue.
    """
    return not row.view().standing.is_active or row.user_id != str(os.getuid())


def _ended_view(entry: Entry, ended: Mapping[str, list[str]]) -> View | None:
    known = ended.get(entry.key)
    return View(Standing(known[0]), known[1], known[2]) if known else None


def _has_succeeded(entry: Entry, ended: Mapping[str, list[str]]) -> bool:
    view = _ended_view(entry, ended)
    return view is not None and view.standing is Standing.SUCCEEDED


def _missing_view(entry: Entry, kept: Mapping[str, Any]) -> View:
    """Return the view of a job that neither the queue nor accounting lists.

    SLURM drops the record of an array element that is cancelled before it starts, but keeps that of the array.
    """
    if not kept.get("answered", False):
        return View(Standing.SILENT)
    if entry.slurm_id and "_" in entry.slurm_id and entry.name in kept.get("known", ()):
        return View(Standing.CANCELLED, "CANCELLED", entry.slurm_id)
    return View(Standing.GONE)

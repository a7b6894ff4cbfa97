"""What the scheduler says of runs, where their directories can't tell."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from results.frame import Row
from results.runs import RunDirectory, RunState
from results.store import Run, Store, load_runs
from slurm.errors import InputError
from slurm.scheduler.commands import Standing, View
from slurm.scheduler.ledger import Entry, Ledger
from slurm.scheduler.queue import Queue
from slurm.scheduler.submission import settle_intents

FOLDER = ".slurm"
"""Below the runs directory: ledger, scripts, code snapshots."""
_UNTOLD = {RunState.PLANNED, RunState.WAITING, RunState.UNKNOWN}
"""States in which a run's directory does not tell how it stands with the scheduler."""
_NO_SUCCESS = (Standing.FAILED, Standing.CANCELLED, Standing.NEVER)


def scheduler_views(runs_directory: Path, *, fresh: bool = False) -> dict[str, View]:
    """What the scheduler says of the runs that were submitted from this directory; empty when none was.

    Parameters
    ----------
    fresh
        Ask now, however recent the last answer is.
    """
    folder = runs_directory / FOLDER
    if not folder.is_dir():
        return {}
    ledger = Ledger(folder)
    if ledger.unsettled():
        # Of a command that was cut off; of one that submits at this moment, it keeps the lock.
        with contextlib.suppress(InputError, OSError), ledger.locked_if_free() as free:
            if free:
                settle_intents(folder, give_up=False)
    return Queue(folder).views(fresh=fresh)


@contextlib.contextmanager
def submissions_held_up(runs_directory: Path) -> Iterator[None]:
    """Begins when no command submits from this directory, and none does before the end of the block.

    Raises
    ------
    InputError
        A submission was cut off, and SLURM does not answer whether it has taken the jobs.
    """
    folder = runs_directory / FOLDER
    if not folder.is_dir():
        yield
        return
    with Ledger(folder).locked():
        settle_intents(folder)
        yield


def submitted_runs(runs_directory: Path) -> dict[str, Entry]:
    """The last submission of each run that was submitted from this directory."""
    return Ledger(runs_directory / FOLDER).latest()


def was_dropped(run_id: str, parents: Iterable[str], submitted: Mapping[str, Entry], views: Mapping[str, View]) -> bool:
    """Whether a job that was cancelled was so by the scheduler itself, since one that it waited for did not succeed.

    That one may have been submitted again since, by another sweep that wants it too, or be back in the queue.
    """
    own = submitted.get(run_id)
    for parent in parents:
        view, entry = views.get(parent), submitted.get(parent)
        if view is not None and (view.had_failed or view.standing in _NO_SUCCESS):
            return True
        if own is not None and entry is not None and entry.submitted_at > own.submitted_at:
            return True
    return False


def scheduler_logs(runs_directory: Path, run_id: str, own_log: Path) -> tuple[Path, ...]:
    """What SLURM kept of the run's last job, one file a process; empty if the run's own log has all there is to say.

    Opening that log is the first thing a job does. What keeps it from that, a Python that is missing say, and what
    kills it there, want of memory say, only the scheduler hears.
    """
    entry = submitted_runs(runs_directory).get(run_id)
    if entry is None or entry.slurm_id is None:
        return ()
    run = RunDirectory(runs_directory / run_id)
    has_begun = own_log.exists() and own_log.stat().st_mtime >= entry.submitted_at.timestamp()
    if has_begun and (run.record.exists() or run.failure.exists() or not _was_killed(runs_directory, run_id)):
        return ()
    return tuple(sorted((runs_directory / FOLDER / entry.name).glob(f"{entry.slurm_id}_*_log.out")))


def _was_killed(runs_directory: Path, run_id: str) -> bool:
    view = scheduler_views(runs_directory).get(run_id)
    return view is not None and view.standing is Standing.FAILED


def load_with_scheduler(runs_directory: Path, run_ids: Iterable[str] | None = None) -> Store:
    """Runs as ``results.store.load_runs`` finds them, told by the scheduler where their directories can't tell."""
    views = scheduler_views(runs_directory)
    store = load_runs(runs_directory, run_ids)
    return replace(store, runs=tuple(_told(run, views.get(run.run_id)) for run in store.runs))


def told_by_scheduler(rows: Iterable[Row], runs_directory: Path) -> list[Row]:
    """The same for rows of ``results.index``."""
    views = scheduler_views(runs_directory)
    return [_told_row(row, runs_directory / str(row["run_id"]), views.get(str(row["run_id"]))) for row in rows]


def knows_better(view: View, run: RunDirectory, state: RunState) -> bool:
    """Whether the scheduler tells how a run stands, and not its directory.

    A job that is back in the queue will start again, however the attempt before ended. A heartbeat on another host
    stays fresh for a while after its job has been ended or sent back, which the scheduler saw.
    """
    if state in _UNTOLD:
        return True
    if state is RunState.FAILED:
        return view.standing is Standing.PENDING and _is_younger(view, run.failure)
    if state is not RunState.RUNNING:
        return False
    last = (run.read_attempts() or [{}])[-1]
    if last.get("host") == socket.gethostname() or last.get("scheduler_job_id") != view.slurm_id:
        return False
    is_back = view.standing is Standing.PENDING and _is_younger(view, run.attempts)
    return is_back or view.standing in (Standing.CANCELLED, Standing.FAILED)


def _is_younger(view: View, path: Path) -> bool:
    """Whether the scheduler was asked after a file was written, or that is gone by now."""
    try:
        return view.asked_at > path.stat().st_mtime
    except FileNotFoundError:
        return True


def _told_row(row: Row, directory: Path, view: View | None) -> Row:
    if view is None or not knows_better(view, RunDirectory(directory), RunState(row["state"])):
        return row
    state, reason = state_from(view)
    return row if state is RunState.PLANNED else {**row, "state": state.value, "reason": reason}


def _told(run: Run, view: View | None) -> Run:
    if view is None or not knows_better(view, RunDirectory(run.directory), run.state):
        return run
    state, reason = state_from(view)
    return run if state is RunState.PLANNED else replace(run, state=state, reason=reason)


def state_from(view: View) -> tuple[RunState, str | None]:
    """A run's state where its directory does not tell, from the scheduler's word.

    A job that succeeded and whose record is gone is to be run again.
    """
    number = view.slurm_id
    match view.standing:
        case Standing.PENDING:
            return RunState.WAITING, f"SLURM job {number} is pending: {view.detail}"
        case Standing.RUNNING:
            return RunState.RUNNING, f"SLURM job {number}"
        case Standing.SUCCEEDED:
            return RunState.PLANNED, None
        case Standing.CANCELLED:
            return RunState.CANCELLED, f"SLURM job {number} was cancelled"
        case Standing.NEVER:
            return RunState.FAILED, f"SLURM job {number} can never start: a job it depends on failed"
        case Standing.FAILED:
            return RunState.FAILED, f"SLURM job {number}: {view.detail}"
        case Standing.GONE:
            return RunState.UNKNOWN, "submitted, and SLURM knows nothing of it any more"
        case Standing.SILENT:
            return RunState.UNKNOWN, "SLURM does not answer, so nobody can say where this run stands"

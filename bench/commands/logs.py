"""``opera-bench logs``: print the log of one run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.options import RUNS, RunsOption

if TYPE_CHECKING:
    from results.runs import RunDirectory, RunState

SECONDS_BETWEEN_READS = 0.5


def logs(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="A run's id, or its beginning or end.")],
    runs: RunsOption = RUNS,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until the run ends.")] = False,
) -> None:
    """Print a run's output and, if it failed, its traceback.

    If a job on SLURM ended before it opened the log, prints the output that SLURM kept. The run's state goes to
    standard error.
    """
    import sys
    import time

    from bench.launch.jobs import LOG_NAME
    from bench.runs.executors import executor_logs
    from bench.runs.find import find_run
    from results.runs import RunState

    run = find_run(runs, run_id)
    path = run.logs / LOG_NAME
    position = 0
    if follow and not _is_file(path):
        print(f"{run.run_id} has not started; waiting for its log", file=sys.stderr)
    try:
        while True:
            status = _read_status(run.run_id, runs) if follow else None
            position = _print_from(path, position)
            if not follow or status is None or status.is_over:
                break
            time.sleep(SECONDS_BETWEEN_READS)
    except KeyboardInterrupt:
        return
    kept_logs = executor_logs(runs, run.run_id, path)
    for executor, kept_log in kept_logs:
        print(f"log of the job kept by {executor}, {kept_log}:", file=sys.stderr, flush=True)
        _print_from(kept_log, 0)
    if further := sorted(run.logs.glob(f"{path.stem}.rank*{path.suffix}")) if _is_file(path) else ():
        print(f"logs of {len(further)} further processes: {further[0]} …", file=sys.stderr)
    status = status or _read_status(run.run_id, runs)
    if not _is_file(path) and not kept_logs:
        state = f"is {status.state.value}" if _has_begun(run) else "has not started"
        print(f"{run.run_id} {state}; there is no log", file=sys.stderr)
    print(f"{run.run_id}: {status.text}", file=sys.stderr)
    if status.state is RunState.DAMAGED:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Status:
    """A run's state and reason; ``is_over`` is True if its log won't grow unless the run is started again."""

    state: RunState
    reason: str | None
    is_over: bool

    @property
    def text(self) -> str:
        return f"{self.state.value}: {self.reason}" if self.reason else self.state.value


def _has_begun(run: RunDirectory) -> bool:
    """Return whether the run has attempts or a record, even a damaged one; True if its directory can't be read."""
    from results.files import is_present

    try:
        return is_present(run.attempts) or is_present(run.record) or not run.path.is_dir()
    except OSError:
        return True


def _read_status(run_id: str, runs: Path) -> _Status:
    """Return the run's effective state, from the disk and from its executor."""
    from bench.runs.executors import ask_executors
    from results.runs import RunState
    from results.store import load_runs

    reports = ask_executors(runs)
    store = load_runs(runs, [run_id], reports)
    if not store.runs:  # the directory's name isn't a run id
        return _Status(RunState.DAMAGED, store.problems[0] if store.problems else "no run", is_over=True)
    shown = store.runs[0]
    if shown.state is RunState.UNKNOWN:
        # If the scheduler doesn't answer, it may later. If it has no record of the job, the state stays unknown.
        is_over = run_id in reports and reports[run_id].is_forgotten
    else:
        is_over = shown.state in (RunState.DONE, RunState.FAILED, RunState.CANCELLED, RunState.DAMAGED)
    return _Status(shown.state, shown.reason, is_over)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _print_from(path: Path, position: int) -> int:
    """Print a log from ``position`` on and return its new end; if it can't be read, print why."""
    import sys

    try:
        with path.open("rb") as file:
            file.seek(position)
            text = file.read()
    except FileNotFoundError:
        return position
    except OSError as error:
        print(f"{path}: can't be read ({error.strerror or error})", file=sys.stderr)
        return position
    sys.stdout.write(text.decode("utf-8", "backslashreplace"))
    sys.stdout.flush()
    return position + len(text)

"""Asks the executors that hold jobs of a runs directory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from results.runs import RunDirectory, modified_at
from slurm.job import JobReport, JobState
from slurm.lookup import open_executors


def ask_executors(runs_directory: Path, *, fresh: bool = False) -> dict[str, JobReport]:
    """Return the executor's answer about each run's job, by run id. An executor that still holds the job goes first.

    Call this before reading the disk: a run that ends between the two is then seen as done, not as lost.

    Parameters
    ----------
    fresh
        Query the executors even if their last answer is recent.
    """
    found: dict[str, JobReport] = {}
    for executor in open_executors(runs_directory):
        for run_id, report in executor.states(fresh=fresh).items():
            known = found.get(run_id)
            if known is None or _rank(known) < _rank(report):
                found[run_id] = replace(report, executor=executor.title)
    return found


def _rank(report: JobReport) -> tuple[bool, float]:
    return report.is_active, report.submitted_at


@contextlib.contextmanager
def submissions_held_up(runs_directory: Path) -> Iterator[None]:
    """Wait until no command submits jobs from this directory, and prevent submissions until the block ends.

    Raises
    ------
    InputError
        A submission was interrupted, and the executor does not answer whether it has accepted the jobs.
    """
    with contextlib.ExitStack() as locks:
        for executor in open_executors(runs_directory):
            locks.enter_context(executor.locked())
        yield


def executor_logs(runs_directory: Path, run_id: str, own_log: Path) -> list[tuple[str, Path]]:
    """Return executor and path of each log of the run's last job that an executor kept; empty if job.log is complete.

    The run's own log is incomplete if the job ended before it opened the log, or if the job was killed.
    """
    run = RunDirectory(runs_directory / run_id)
    has_ended = modified_at(run.record) or modified_at(run.failure)
    found = []
    for executor in open_executors(runs_directory):
        report = executor.states().get(run_id)
        if report is None:
            continue
        has_begun = modified_at(own_log) >= report.submitted_at
        if not has_begun or (report.state is JobState.FAILED and not has_ended):
            found += [(executor.title, path) for path in executor.logs(run_id)]
    return found

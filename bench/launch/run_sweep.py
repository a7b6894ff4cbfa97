"""Runs a sweep from the command line: prints the plan, asks, submits, shows progress, writes tables."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.launch.compute_options import check_compute
from bench.launch.jobs import (
    build_jobs,
    create_executor,
    data_roots,
    locked_elsewhere,
    require_software,
    run_jobs,
    select,
    write_configs,
)
from bench.launch.options import Launch
from bench.launch.preflight import require_sound_data
from bench.plan.graph import Plan, PlannedRun, plan_sweep
from bench.runs.configs import check_configs
from bench.runs.ends import remove_leftovers, set_aside
from bench.runs.outputs import finish_sweep
from bench.runs.sources import STARTED, note_sources, require_same_sources
from bench.runs.states import RunStatus, statuses
from bench.runs.wanted import remember_sweep
from bench.sweep.model import Sweep
from results.runs import RunDirectory, RunState
from slurm.job import Executor, Handle, Job, JobState

INTERRUPTED = 130
_LOST = frozenset({RunState.FAILED, RunState.DAMAGED, RunState.CANCELLED, RunState.UNKNOWN})
"""States of a run that has no valid record and isn't being computed."""
_STATE_WORDS = {
    RunState.FAILED: "failed",
    RunState.DAMAGED: "are damaged",
    RunState.CANCELLED: "are cancelled",
    RunState.UNKNOWN: "are lost",
    RunState.RUNNING: "are still running",
    RunState.WAITING: "wait for others",
}
"""State → word for the final message about runs that aren't done."""


def run_sweep(
    sweep: Sweep,
    launch: Launch,
    *,
    command: str,
    retry: frozenset[RunState] = frozenset(),
    dry_run: bool = False,
    ask: bool = False,
) -> int:
    """Run a sweep's unfinished runs and show its results.

    Parameters
    ----------
    command
        The sweep and its options as typed, for suggested commands.
    retry
        States that are started again.

    Returns
    -------
    int
        The exit status: 0 if every run is done, another process or a scheduler computes it, or the scheduler's queue
        has no room for it yet; 1 if a run ended without a record or was not started because of its parents; 130 if
        interrupted.
    """
    plan = plan_sweep(sweep)
    for note in plan.notes:
        say(note)
    executor = create_executor(launch)
    on_cluster = executor.returns_at_once
    if not dry_run:
        executor.settle()
    start_again = command + launch.flags
    before = statuses(plan.runs, launch.runs_directory)
    damaged = [status for status in before if status.own_state is RunState.DAMAGED]
    if damaged and RunState.DAMAGED in retry:
        for line in set_aside(damaged, launch.runs_directory):
            say(line)
        damaged = [s for s in statuses(plan.runs, launch.runs_directory) if s.own_state is RunState.DAMAGED]
    broken = {status.run.run_id for status in damaged}
    sound = [s for s in before if s.run.run_id not in broken]
    unmended = [s for s in before if s.own_state is not RunState.DAMAGED or s.run.run_id in broken]
    for line in check_configs(unmended, launch.runs_directory):
        say(line)
    started = [s.run for s in sound if s.own_state in STARTED]
    require_same_sources(started, launch.runs_directory)
    chosen = select(sound, retry, on_cluster=on_cluster, locked=locked_elsewhere(sound, launch.runs_directory))
    require_software(chosen, launch.options, announce=say)
    for line in check_compute(chosen, launch.compute):
        say(line)
    roots = {} if dry_run else data_roots(chosen, sweep.file.data, where=sweep.source.name)
    if not dry_run:
        require_sound_data(chosen, roots, announce=say)
    say(summary(plan, before, chosen, launch))
    failed_earlier = [s for s in before if s.own_state is RunState.FAILED and s.run not in chosen]
    if failed_earlier:
        say(f"{len(failed_earlier)} failed earlier: opera-bench retry {start_again}")
    if damaged:
        has_advice = not retry and any(not s.has_other_schema for s in damaged)
        again = f"\ncompute them again: opera-bench retry {start_again}" if has_advice else ""
        say(f"{len(damaged)} damaged, such as {damaged[0].run.run_id}: {damaged[0].reason}{again}")
    if dry_run:
        for run in chosen:
            print(f"would start {run.run_id}")
        for text in executor.preview(build_jobs(chosen, before, launch, roots)):
            print(f"\n{text}")
        return 0
    remove_leftovers(plan.runs, launch.runs_directory)
    if chosen and ask and not confirmed("Start?"):
        return 0
    if chosen and ask and on_cluster:
        before = statuses(plan.runs, launch.runs_directory)  # a parent may have ended before the user answered
    # This sweep also needs runs that another command computes or has queued, so it is noted for them too.
    if chosen or any(status.own_state in (RunState.RUNNING, RunState.WAITING) for status in before):
        write_configs([status.run for status in sound], launch.runs_directory)
        note_sources(chosen, launch.runs_directory)
        remember_sweep(sweep, plan.run_ids, launch.runs_directory)
    ended = 0
    if chosen:
        jobs = build_jobs(chosen, before, launch, roots)
        if on_cluster:
            earlier = earlier_ends([run.run_id for run in chosen], launch)
            try:
                handles = executor.submit(jobs)
            except KeyboardInterrupt:
                say(
                    f"interrupted; {executor.title} may have some of the jobs: opera-bench status {command}; "
                    "to continue, type the same command again"
                )
                return INTERRUPTED
            again = f"opera-bench {'retry' if retry else 'run'} {start_again}"
            hand_over(handles, earlier, executor, command, again)
            orphaned = any(handle.number is None and handle.state.is_final for handle in handles)
            lost = any(s.own_state in _LOST and s.run not in chosen for s in before)
            return 1 if orphaned or lost else 0
        ended = start(jobs, executor, launch)
        if ended == INTERRUPTED:
            return INTERRUPTED
    # Another command may have computed an import meanwhile, from a file of the same name.
    awaited = [s.run for s in sound if s.own_state is not RunState.DONE]
    require_same_sources(awaited, launch.runs_directory)
    finish_sweep(sweep, plan, launch.runs_directory)
    after = statuses(plan.runs, launch.runs_directory)
    counts = Counter(status.state for status in after)
    for state, word in _STATE_WORDS.items():
        if counts[state]:
            say(f"{counts[state]} of {len(plan.runs)} runs {word}: opera-bench status {command}")
    interrupted = [s for s in after if s.state is RunState.PLANNED and s.run in chosen and s.reason]
    if interrupted:
        say(f"{len(interrupted)} runs were {interrupted[0].reason}: opera-bench run {start_again}")
    held_back = [s for s in after if s.own_state is RunState.PLANNED and s.run not in chosen]
    if held_back:
        say(f"{len(held_back)} runs were not started because their parents are not done: opera-bench status {command}")
    lost = any(s.state in _LOST or (s.state is RunState.PLANNED and s.run in chosen) for s in after)
    return 1 if ended or held_back or lost else 0


def start(jobs: Sequence[Job], executor: Executor, launch: Launch) -> int:
    """Run jobs, wait for their ends, and return the exit status."""
    try:
        handles = run_jobs(executor, jobs, launch)
    except KeyboardInterrupt:
        say("interrupted; run the same command to continue")
        return INTERRUPTED
    return 0 if all(handle.state is JobState.DONE for handle in handles) else 1


def earlier_ends(run_ids: Sequence[str], launch: Launch) -> dict[Path, int]:
    """Return the modification time in nanoseconds of each ``failure.json`` and ``cancelled.json`` of these runs."""
    found = {}
    for run_id in run_ids:
        run_directory = RunDirectory(launch.runs_directory / run_id)
        for path in (run_directory.failure, run_directory.cancelled):
            with contextlib.suppress(FileNotFoundError):
                found[path] = path.stat().st_mtime_ns
    return found


def hand_over(
    handles: Sequence[Handle], earlier: Mapping[Path, int], executor: Executor, command: str, again: str
) -> None:
    """Print how many runs were submitted, and delete the ``earlier`` end files of submitted runs.

    A file that changed since is kept: a job may have failed while later jobs were being submitted. ``again`` is the
    command that submits the runs for which the queue has no room.
    """
    accepted = [handle for handle in handles if handle.number is not None]
    ids = {handle.job.id for handle in accepted if handle.state is JobState.WAITING}
    for path, written in earlier.items():
        with contextlib.suppress(FileNotFoundError):
            if path.parent.name in ids and path.stat().st_mtime_ns == written:
                path.unlink()
    say(f"{len(accepted)} runs are with {executor.describe(accepted)}: opera-bench status {command}")
    others = Counter((handle.reason, handle.state.is_final) for handle in handles if handle.number is None)
    for (reason, is_final), count in others.items():
        advice = f"see: opera-bench status {command}" if is_final else f"submit the rest later with: {again}"
        say(f"{count} runs are {reason}; {advice}")


def summary(plan: Plan, before: Sequence[RunStatus], chosen: Sequence[PlannedRun], launch: Launch) -> str:
    """Return the plan in one line: ``digits: 40 runs, 12 done; starting 28 jobs (local, 2 at a time)``."""
    counts = Counter(status.own_state for status in before)
    known = [
        f"{counts[state]} {word}"
        for state, word in (
            (RunState.DONE, "done"),
            (RunState.RUNNING, "running elsewhere"),
            (RunState.WAITING, "in the queue"),
            (RunState.UNKNOWN, "of unknown state"),
            (RunState.DAMAGED, "damaged"),
        )
        if counts[state]
    ]
    how = f" ({', '.join(filter(None, (launch.executor, launch.options.summary())))})" if chosen else ""
    return f"{', '.join([f'{plan.name}: {len(plan.runs)} runs', *known])}; starting {len(chosen)} jobs{how}"


def say(text: str) -> None:
    """Print a message to standard error; standard output is for programs."""
    print(text, file=sys.stderr, flush=True)


def confirmed(question: str, *, default: bool = True) -> bool:
    """Ask the user and return the answer; True without a terminal."""
    import typer

    return not sys.stdin.isatty() or typer.confirm(question, default=default, err=True)

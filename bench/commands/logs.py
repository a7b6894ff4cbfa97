"""``opera-bench logs``: what one run said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.options import RUNS, RunsOption

if TYPE_CHECKING:
    from results.runs import RunDirectory

SECONDS_BETWEEN_LOOKS = 0.5


def logs(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="The whole id, or how it starts or ends.")],
    runs: RunsOption = RUNS,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
) -> None:
    """Print a run's output and, if it failed, its traceback; or what SLURM kept of a job that never got to that."""
    import sys
    import time

    from bench.launch.jobs import LOG_NAME
    from bench.runs.find import find_run
    from bench.runs.scheduled import scheduler_logs

    run = find_run(runs, run_id)
    path = run.logs / LOG_NAME
    position = 0
    end: str | None = None
    if follow and not path.exists():
        print(f"{run.run_id} has not started; waiting for its log", file=sys.stderr)
    try:
        while True:
            end = _end_of(run, runs) if follow else None
            if path.exists():
                with path.open("rb") as file:
                    file.seek(position)
                    text = file.read()
                position += len(text)
                sys.stdout.write(text.decode("utf-8", "backslashreplace"))
                sys.stdout.flush()
            if end is not None or not follow:
                break
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        return
    elsewhere = scheduler_logs(runs, run.run_id, path)
    if not path.exists() and not elsewhere:
        print(f"{run.run_id} has not started; there is no log", file=sys.stderr)
    for kept in elsewhere:
        print(f"what SLURM kept of its job, {kept}:", file=sys.stderr, flush=True)
        sys.stdout.write(kept.read_text(encoding="utf-8", errors="backslashreplace"))
        sys.stdout.flush()
    if further := sorted(run.logs.glob(f"{path.stem}.rank*{path.suffix}")):
        print(f"its {len(further)} further processes: {further[0]} …", file=sys.stderr)
    if end is not None:
        print(f"{run.run_id}: {end}", file=sys.stderr)


def _end_of(run: RunDirectory, runs: Path) -> str | None:
    """How a run ended, or why it won't begin; None while it may still say something."""
    from bench.runs.states import ask_executors
    from results.runs import RunState
    from results.state import standing
    from results.store import load_runs, look_at

    told = ask_executors(runs)
    found = load_runs(runs, [run.run_id], told).runs
    # A run whose config.yaml is damaged is not among those found.
    shown = found[0] if found else standing({run.run_id: look_at(run, ())}, told)[run.run_id]
    state, reason = shown.state, shown.reason
    if state is RunState.UNKNOWN:
        # A scheduler that is silent now may know more later; one that has forgotten the job will not.
        is_over = run.run_id in told and told[run.run_id].is_forgotten
    else:
        is_over = state in (RunState.DONE, RunState.FAILED, RunState.CANCELLED, RunState.DAMAGED)
    return (f"{state.value}: {reason}" if reason else state.value) if is_over else None

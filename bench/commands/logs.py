"""``opera-bench logs``: what one run said."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import RUNS, RunsOption

SECONDS_BETWEEN_LOOKS = 0.5


def logs(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="The whole id, or how it starts or ends.")],
    runs: RunsOption = RUNS,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
) -> None:
    """Print a run's output and, if it failed, its traceback; or what SLURM kept of a job that never got to that."""
    import sys
    import time

    from bench.launch import LOG_NAME
    from bench.lookup import find_run
    from bench.scheduled import scheduler_logs
    from results.runs import RunState

    run = find_run(runs, run_id)
    path = run.logs / LOG_NAME
    elsewhere = () if follow else scheduler_logs(runs, run.run_id, path)
    if not path.exists() and not follow and not elsewhere:
        print(f"{run.run_id} has not started; there is no log", file=sys.stderr)
        return
    position = 0
    try:
        while True:
            ended = run.state() in (RunState.DONE, RunState.FAILED, RunState.CANCELLED)
            if path.exists():
                with path.open("rb") as file:
                    file.seek(position)
                    text = file.read()
                position += len(text)
                sys.stdout.write(text.decode("utf-8", "backslashreplace"))
                sys.stdout.flush()
            if ended or not follow:
                break
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        return
    for kept in elsewhere:
        print(f"its SLURM job did not get as far as this log; SLURM has {kept}:", file=sys.stderr, flush=True)
        sys.stdout.write(kept.read_text(encoding="utf-8", errors="backslashreplace"))

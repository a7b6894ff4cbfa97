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
    """Print a run's output and, if it failed, its traceback."""
    import sys
    import time

    from bench.launch import LOG_NAME
    from bench.lookup import find_run
    from results.runs import RunState

    run = find_run(runs, run_id)
    path = run.logs / LOG_NAME
    if not path.exists() and not follow:
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
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        return

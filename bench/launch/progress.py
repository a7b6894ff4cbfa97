"""Shows progress while runs are computed: bars on a terminal, one line per ended run elsewhere."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.runs.ends import names_disk_error
from results.runs import RunDirectory, is_progress
from slurm.job import Handle, JobState, OnChange

_TAIL_BYTES = 4096


@contextlib.contextmanager
def show_progress(total: int, runs_directory: Path, *, live: bool = True) -> Iterator[OnChange]:
    """Yield a callback that shows state changes of an executor's jobs on standard error."""
    console = Console(stderr=True)
    if live and console.is_terminal:
        with _Bars(total, runs_directory, console) as bars:
            yield bars.on_change
    else:
        yield _Lines(total).on_change


def _word(handle: Handle) -> str:
    """Return the job's state; ``interrupted`` if a full or failing disk ended it, because its run is not failed."""
    if handle.state is JobState.FAILED and names_disk_error(handle.reason or ""):
        return "interrupted"
    return handle.state.value


class _Lines:
    def __init__(self, total: int) -> None:
        self.total = total
        self.ended = 0

    def on_change(self, handle: Handle) -> None:
        if handle.state.is_final:
            self.ended += 1
            reason = f": {handle.reason}" if handle.reason and handle.state is not JobState.DONE else ""
            line = f"[{self.ended}/{self.total}] {_word(handle)} {handle.job.id}{reason}"
            print(line, file=sys.stderr, flush=True)


class _Bars(Progress):
    """One bar for all runs, and one for each running run, whose epoch comes from its ``progress.jsonl``."""

    def __init__(self, total: int, runs_directory: Path, console: Console) -> None:
        self.runs_directory = runs_directory
        self.running: dict[str, TaskID] = {}
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=2,
            transient=True,
        )
        self.overall = self.add_task("runs", total=total, note=f"0/{total}")

    def on_change(self, handle: Handle) -> None:
        run_id = handle.job.id
        if handle.state is JobState.RUNNING:
            self.running[run_id] = self.add_task(run_id, total=None, note="starting")
        elif handle.state.is_final:
            if run_id in self.running:
                self.remove_task(self.running.pop(run_id))
            self.advance(self.overall)
            overall = self.tasks[0]
            self.update(self.overall, note=f"{overall.completed:.0f}/{overall.total:.0f}")
            if handle.state is not JobState.DONE:
                self.console.print(f"{_word(handle)} {run_id}: {handle.reason}", markup=False)

    def get_renderables(self) -> Iterable[RenderableType]:
        for run_id, task in list(self.running.items()):
            row = last_progress(RunDirectory(self.runs_directory / run_id))
            if row:
                epoch, epochs = float(row["epoch"]), float(row["total_epochs"])
                # on_change may have removed the bar meanwhile: this method runs in the refresh thread.
                with contextlib.suppress(KeyError):
                    self.update(task, completed=epoch, total=epochs, note=f"epoch {epoch:.1f}/{round(epochs, 1):g}")
        return super().get_renderables()


def last_progress(run: RunDirectory) -> dict[str, Any] | None:
    """Return the last valid row of a run's ``progress.jsonl``, found in the file's last 4 KiB; None without one."""
    try:
        with run.progress.open("rb") as file:
            file.seek(max(run.progress.stat().st_size - _TAIL_BYTES, 0))
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(line)
            if is_progress(row):
                return row
    return None

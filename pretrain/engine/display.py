"""Shows the progress of a training: a bar on a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0


class TrainingDisplay:
    """Shows step, losses, images per second and time left on standard error."""

    def __init__(self, total_steps: int, first_step: int, images_per_step: int, *, enabled: bool = True) -> None:
        self.total_steps = total_steps
        self.images_per_step = images_per_step
        self.first_step = first_step
        self.started = self.last_line = time.monotonic()
        self.enabled = enabled
        self.progress: Progress | None = None
        if enabled and sys.stderr.isatty():
            self.progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[values]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self.task = self.progress.add_task("pretrain", total=total_steps, completed=first_step, values="")

    def __enter__(self) -> TrainingDisplay:
        if self.progress:
            self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.progress:
            self.progress.stop()

    def images_per_second(self, steps_done: int) -> float:
        """Return images per second over all processes since this attempt started, without paused time."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        return (steps_done - self.first_step) * self.images_per_step / seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the block's time from ``images_per_second``."""
        before = time.monotonic()
        yield
        self.started += time.monotonic() - before

    def update(self, steps_done: int, values: Mapping[str, float]) -> None:
        if not self.enabled:
            return
        rate = self.images_per_second(steps_done)
        text = " ".join(f"{name} {value:.4g}" for name, value in values.items()) + f" {rate:.0f} images/s"
        if self.progress:
            self.progress.update(self.task, completed=steps_done, values=text)
            return
        now = time.monotonic()
        if now - self.last_line >= SECONDS_BETWEEN_LINES or steps_done == self.total_steps:
            self.last_line = now
            left = (self.total_steps - steps_done) * self.images_per_step / max(rate, 1e-9)
            print(f"step {steps_done}/{self.total_steps} {text}, {left:.0f} s left", file=sys.stderr, flush=True)

"""The inline executor runs one job after the other in this process. For debugging, notebooks and tests."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TextIO, cast

from slurm._process import call, describe, group_hidden
from slurm.errors import InputError
from slurm.graph import JobGraph, all_final, encode_arguments
from slurm.job import Code, Executor, ExecutorOptions, Handle, Job, JobState, OnChange, Request


class InlineOptions(ExecutorOptions):
    """See ``InlineExecutor``."""

    is_one_of_several: bool = False

    @classmethod
    def read(cls, request: Request) -> Self:
        if request.workers is not None:
            raise InputError("--workers: goes with --executor local; inline runs one job after the other")
        return super().read(request)


class InlineExecutor(Executor):
    """Runs jobs during ``wait``, parents first, otherwise in the order of submission.

    Text that a job writes to ``sys.stdout`` and ``sys.stderr`` goes to the terminal and to its log. Output of C code
    and of subprocesses reaches only the terminal; the local executor logs it too.

    Parameters
    ----------
    is_one_of_several
        True if this process is one of several that torchrun started for a job. If False, jobs don't see variables such
        as ``RANK`` and ``MASTER_PORT``, which the shell may hold for another program.
    """

    Options = InlineOptions
    shares_terminal = True

    def __init__(self, *, is_one_of_several: bool = False) -> None:
        self._graph = JobGraph()
        self._surroundings = contextlib.nullcontext if is_one_of_several else group_hidden

    @classmethod
    def create(cls, options: InlineOptions, folder: Path, label: str, code: Code) -> Self:
        return cls(is_one_of_several=options.is_one_of_several)

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Accept jobs; none starts before ``wait``. See ``slurm.job.Executor``."""
        return self._graph.add(jobs)

    def wait(self, handles: Sequence[Handle], on_change: OnChange | None = None) -> None:
        """Run jobs until every handle is final. Jobs submitted earlier run first, even those not in ``handles``."""
        with self._graph.watched(handles, on_change):
            while not all_final(handles) and (handle := self._graph.next_ready()) is not None:
                self._run(handle)

    def cancel(self, ids: Collection[str]) -> None:
        """Drop waiting jobs. A running job can't be stopped from its own process; its result is ignored."""
        for handle in self._graph.find(ids):
            if not handle.state.is_final:
                self._graph.change(handle, JobState.CANCELLED, "cancelled")
        self._graph.settle()

    def _run(self, handle: Handle) -> None:
        self._graph.change(handle, JobState.RUNNING)
        if handle.state is not JobState.RUNNING:  # cancelled by on_change
            return
        state, reason = JobState.DONE, None
        try:
            with _logged_to(handle.job.log_path), self._surroundings():
                call(handle.job.function, encode_arguments(handle.job))
        except KeyboardInterrupt:
            self._graph.change(handle, JobState.CANCELLED, "interrupted")
            raise
        except BaseException as error:
            state, reason = JobState.FAILED, describe(error)
        if handle.state is JobState.RUNNING:
            self._graph.change(handle, state, reason)


@contextlib.contextmanager
def _logged_to(path: Path) -> Iterator[None]:
    """Append standard output and error to a log as well; a traceback goes only to the log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1) as log:
        out, err = cast(TextIO, _Tee(sys.stdout, log)), cast(TextIO, _Tee(sys.stderr, log))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                yield
            except BaseException:
                traceback.print_exc(file=log)
                raise


class _Tee:
    """A text stream that behaves like its terminal and also writes to a copy."""

    def __init__(self, terminal: TextIO, copy: TextIO) -> None:
        self._terminal = terminal
        self._copy = copy

    def write(self, text: str) -> int:
        self._copy.write(text)
        return self._terminal.write(text)

    def writelines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._copy.flush()
        self._terminal.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)


EXECUTOR = InlineExecutor

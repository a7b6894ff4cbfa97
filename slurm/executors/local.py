"""The local executor runs jobs as processes of this machine, a fixed number at a time."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Self

from slurm._fork_server import ForkServer
from slurm._process import without_group
from slurm.errors import InputError
from slurm.graph import JobGraph, all_final, encode_arguments
from slurm.job import Code, Executor, ExecutorOptions, Handle, Job, JobState, OnChange, Request

GRACE_SECONDS = 5.0
"""Seconds between SIGTERM and SIGKILL for a job that is told to end."""


class LocalOptions(ExecutorOptions):
    """``workers`` is the number of jobs at a time; by default one for each processor."""

    workers: int

    @classmethod
    def read(cls, request: Request) -> Self:
        ExecutorOptions.read(request)
        return cls(workers=request.workers or request.cpus)

    def summary(self) -> str:
        return f"{self.workers} at a time"


class LocalExecutor(Executor):
    """Runs up to ``workers`` jobs at a time, each in its own process, session and process group.

    Jobs start during ``wait``, in the order of submission; when one ends, the next ready one starts. Processes that a
    job started end with the job. If the submitting process dies, even by kill -9, its jobs die too. A job gets the
    working directory, environment and ``sys.path`` that the submitting process has when the job starts, without
    variables such as ``RANK`` and ``MASTER_PORT``, which would make it join a foreign process group.

    Parameters
    ----------
    workers
        Number of processes at a time, at least 1.
    preload
        Names of modules to import once, in the fork server, instead of in every job. If an import fails, the job logs
        say so and each job imports the module itself. A module must not start threads or open devices here: all jobs
        would share them.
    threads_per_worker
        Value of ``OMP_NUM_THREADS`` and ``MKL_NUM_THREADS`` in jobs, set before a numerical library is imported.

    Raises
    ------
    InputError
        Fewer than one worker or thread, or a preload module that can't be found.
    """

    Options = LocalOptions

    def __init__(self, workers: int, preload: Sequence[str] = (), threads_per_worker: int = 1) -> None:
        for name, count in (("workers", workers), ("threads_per_worker", threads_per_worker)):
            if count < 1:
                raise InputError(f"local executor: {name} must be at least 1, not {count}")
        for module in preload:
            # Look up only the top package: finding a submodule would import its parents in this process.
            if importlib.util.find_spec(module.partition(".")[0]) is None:
                raise InputError(f"local executor: no module {module!r} to preload")
        self._workers = workers
        self._variables = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads_per_worker))
        self._server = ForkServer(tuple(preload), self._variables)
        self._graph = JobGraph()
        self._running: list[Handle] = []

    @classmethod
    def create(cls, options: LocalOptions, folder: Path, label: str, code: Code) -> Self:
        return cls(options.workers, code.preload)

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Accept jobs; none starts before ``wait``. See ``slurm.job.Executor``."""
        return self._graph.add(jobs)

    def wait(self, handles: Sequence[Handle], on_change: OnChange | None = None) -> None:
        """Run jobs until every handle is final. Jobs submitted earlier run first, even those not in ``handles``.

        If Ctrl-C or an error in ``on_change`` interrupts the wait, running jobs are cancelled and the exception is
        raised again. Waiting jobs stay waiting, and another ``wait`` continues with them.
        """
        with self._graph.watched(handles, on_change):
            try:
                while not all_final(handles):
                    self._start_ready()
                    self._collect()
            except BaseException:
                try:
                    self._end(self._running, "interrupted")
                finally:  # ends whatever a second Ctrl-C or one during a start leaves
                    self._server.stop()
                raise

    def cancel(self, ids: Collection[str]) -> None:
        """Drop waiting jobs. Stop running ones with SIGTERM, and after ``GRACE_SECONDS`` with SIGKILL."""
        handles = self._graph.find(ids)
        for handle in handles:
            if handle.state is JobState.WAITING:
                self._graph.change(handle, JobState.CANCELLED, "cancelled")
        wanted = {id(handle) for handle in handles}
        self._end([handle for handle in self._running if id(handle) in wanted], "cancelled")
        self._graph.settle()

    def _start_ready(self) -> None:
        while len(self._running) < self._workers and (handle := self._graph.next_ready()) is not None:
            job = handle.job
            order = {
                "function": job.function,
                "arguments": encode_arguments(job),
                "log_path": str(job.log_path),
                "environment": {**without_group(os.environ), **self._variables},
                "directory": str(Path.cwd()),
                "path": [str(entry) for entry in sys.path],
            }
            handle.number = str(self._server.start(job.id, order))
            self._running.append(handle)
            self._graph.change(handle, JobState.RUNNING)

    def _collect(self) -> None:
        """Wait until a job ends, if one runs, and set the final state of every ended job."""
        if self._running and not any(map(self._has_ended, self._running)):
            self._server.receive(None)
        # One at a time: ``on_change`` may cancel another.
        while handle := next(filter(self._has_ended, self._running), None):
            self._running.remove(handle)
            self._graph.change(handle, *_outcome(*self._server.ended.pop(handle.job.id)))

    def _has_ended(self, handle: Handle) -> bool:
        return handle.job.id in self._server.ended

    def _end(self, handles: Sequence[Handle], reason: str) -> None:
        """Stop these jobs and set their final states; a job that had ended already keeps its own outcome."""
        self._server.receive(0)
        stopped = [handle for handle in handles if not self._has_ended(handle)]
        try:
            self._signal(stopped, signal.SIGTERM)
        finally:  # a second Ctrl-C shortens the grace period
            self._signal(stopped, signal.SIGKILL)
            ends = [self._server.ended.pop(handle.job.id, None) for handle in handles]
            self._running = [handle for handle in self._running if handle not in handles]
            for handle, end in zip(handles, ends, strict=True):
                if handle in stopped or end is None:
                    self._graph.change(handle, JobState.CANCELLED, reason)
                else:
                    self._graph.change(handle, *_outcome(*end))

    def _signal(self, handles: Sequence[Handle], number: signal.Signals) -> None:
        """Signal the jobs and wait until they have ended, for at most ``GRACE_SECONDS``."""
        for handle in handles:
            self._server.signal(handle.job.id, number)
        deadline = time.monotonic() + GRACE_SECONDS
        while not all(map(self._has_ended, handles)) and (seconds := deadline - time.monotonic()) > 0:
            self._server.receive(seconds)


def _outcome(code: int, reason: str | None) -> tuple[JobState, str | None]:
    if code == 0:
        return JobState.DONE, None
    if reason is None and code > 0:
        reason = f"ended with exit status {code}"
    elif reason is None:
        cause = ", perhaps out of memory" if -code == signal.SIGKILL else ""
        names = {number.value: f" ({number.name})" for number in signal.Signals}
        reason = f"killed by signal {-code}{names.get(-code, '')}{cause}"
    return JobState.FAILED, reason


EXECUTOR = LocalExecutor

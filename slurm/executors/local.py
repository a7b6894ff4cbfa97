"""The local executor runs jobs as processes of this machine, a fixed number at a time."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Self

from slurm._child import Order
from slurm._forkserver import ServerSettings, start_child
from slurm._group import without_group
from slurm._interrupts import Interrupts
from slurm.errors import InputError
from slurm.graph import JobGraph, all_final, encode_arguments
from slurm.job import Code, Executor, ExecutorOptions, Handle, Job, JobState, OnChange, Request

GRACE_SECONDS = 5.0
"""Seconds between SIGTERM and SIGKILL for a job that is told to end."""


@dataclass(frozen=True)
class _Child:
    handle: Handle
    process: ForkServerProcess
    connection: Connection

    @property
    def pid(self) -> int:
        assert self.process.pid is not None, "a child is kept once it is started"
        return self.process.pid


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
        threads = str(threads_per_worker)
        self._settings = ServerSettings(
            preload=tuple(preload), variables=(("OMP_NUM_THREADS", threads), ("MKL_NUM_THREADS", threads))
        )
        self._graph = JobGraph()
        self._children: list[_Child] = []
        self._interrupts = Interrupts()

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
        with self._interrupts.held_back(), self._graph.watched(handles, on_change):
            try:
                while not all_final(handles):
                    self._start_ready()
                    self._collect()
            except BaseException:
                self._end(list(self._children), "interrupted")
                raise

    def cancel(self, ids: Collection[str]) -> None:
        """Drop waiting jobs. Stop running ones with SIGTERM, and after ``GRACE_SECONDS`` with SIGKILL."""
        handles = self._graph.find(ids)
        for handle in handles:
            if handle.state is JobState.WAITING:
                self._graph.change(handle, JobState.CANCELLED, "cancelled")
        wanted = {id(handle) for handle in handles}
        self._end([child for child in self._children if id(child.handle) in wanted], "cancelled")
        self._graph.settle()

    def _start_ready(self) -> None:
        while len(self._children) < self._workers and (handle := self._graph.next_ready()) is not None:
            job = handle.job
            environment = {**without_group(os.environ), **dict(self._settings.variables)}
            process, connection = start_child(self._settings)
            child = _Child(handle, process, connection)
            self._children.append(child)
            self._interrupts.let_through()  # the first start preloads modules, which takes long
            with contextlib.suppress(ConnectionError):  # the child is dead already; _collect will find it
                connection.send(Order(job.function, encode_arguments(job), job.log_path, environment))
            handle.number = str(child.pid)
            self._graph.change(handle, JobState.RUNNING)

    def _collect(self) -> None:
        """Wait until a child ends, if there is one, and set the final state of every ended child's job."""
        for child in self._wait_for_any(self._children, timeout_seconds=None):
            outcome = _outcome(child)
            self._children.remove(child)
            self._graph.change(child.handle, *outcome)

    def _terminate(self, children: Sequence[_Child]) -> None:
        """Send SIGTERM to the jobs and wait until they have ended, for at most ``GRACE_SECONDS``."""
        for child in children:
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        left = list(children)
        while left and (seconds := deadline - time.monotonic()) > 0:
            ended = self._wait_for_any(left, seconds)
            left = [child for child in left if child not in ended]

    def _wait_for_any(self, children: Sequence[_Child], timeout_seconds: float | None) -> list[_Child]:
        """Return the ended ones of ``children`` once one has ended or the time is over; raise a noted Ctrl-C."""
        if children:
            wait([child.process.sentinel for child in children] + self._interrupts.descriptors, timeout_seconds)
        self._interrupts.let_through()
        return _ended(children)

    def _end(self, children: Sequence[_Child], reason: str) -> None:
        """Stop these processes and set their jobs' final states; a job that had ended already keeps its own outcome."""
        ended = _ended(children)
        running = [child for child in children if child not in ended]
        try:
            self._terminate(running)
        finally:  # a second Ctrl-C shortens the grace period
            for child in running:
                _signal_group(child, signal.SIGKILL)
            outcomes = [_outcome(child) for child in children]
            self._children = [child for child in self._children if child not in children]
            for child, outcome in zip(children, outcomes, strict=True):
                self._graph.change(child.handle, *((JobState.CANCELLED, reason) if child in running else outcome))


def _ended(children: Sequence[_Child]) -> list[_Child]:
    ready = wait([child.process.sentinel for child in children], timeout=0)
    return [child for child in children if child.process.sentinel in ready]


def _outcome(child: _Child) -> tuple[JobState, str | None]:
    """Return the state and reason of an ended child, and kill any processes it left running."""
    child.process.join()
    _signal_group(child, signal.SIGKILL)
    code = child.process.exitcode
    assert code is not None, "the child has been joined"
    reason = None
    with contextlib.suppress(EOFError, ConnectionError):
        if child.connection.poll():
            reason = child.connection.recv()
    if code == 0:
        return JobState.DONE, None
    return JobState.FAILED, reason or _describe_exit(code)


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    cause = ", perhaps out of memory" if -code == signal.SIGKILL else ""
    try:
        return f"killed by signal {-code} ({signal.Signals(-code).name}){cause}"
    except ValueError:
        return f"killed by signal {-code}"


def _signal_group(child: _Child, number: signal.Signals) -> None:
    """Signal a job's process group, or its process alone if it has not created the group yet."""
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        if child.process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)


EXECUTOR = LocalExecutor

"""The local executor: jobs as processes of this machine, a fixed number at a time."""

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

from slurm._child import Order
from slurm._forkserver import ServerSettings, start_child
from slurm._group import without_group
from slurm._interrupts import Interrupts
from slurm.errors import InputError
from slurm.graph import JobGraph, all_final, encode_arguments
from slurm.job import Handle, Job, JobState, OnChange, Told

GRACE_SECONDS = 5.0
"""How long a job that is told to end (SIGTERM) may take before it is killed."""


@dataclass(frozen=True)
class _Child:
    handle: Handle
    process: ForkServerProcess
    connection: Connection

    @property
    def pid(self) -> int:
        assert self.process.pid is not None, "a child is kept once it is started"
        return self.process.pid


class LocalExecutor:
    """Runs up to ``workers`` jobs at a time, each in a process, session and process group of its own.

    Jobs start during ``wait``; as soon as one ends, the next ready one starts, in the order of submission. Whatever a
    job started ends with it. If the submitting process dies, even by kill -9, so do its jobs. A job runs in the
    submitting process's working directory, environment and ``sys.path`` as they are when it starts, but for variables
    such as ``RANK`` and ``MASTER_PORT``, which would have it join a group of processes that it is no part of.

    Parameters
    ----------
    workers
        Processes at a time, at least 1.
    preload
        Names of modules to import once, in the server that every job is forked from, instead of once a job. A module
        whose import fails is left to the jobs, whose logs say so. It must not start threads or open devices: what
        it set up would be shared by all jobs.
    threads_per_worker
        ``OMP_NUM_THREADS`` and ``MKL_NUM_THREADS`` of jobs, set before a numerical library is imported.

    Raises
    ------
    InputError
        Fewer than one worker or thread, or a preload module that can't be found.
    """

    def __init__(self, workers: int, preload: Sequence[str] = (), threads_per_worker: int = 1) -> None:
        for name, count in (("workers", workers), ("threads_per_worker", threads_per_worker)):
            if count < 1:
                raise InputError(f"local executor: {name} must be at least 1, not {count}")
        for module in preload:
            # Only the top package is looked up: finding a submodule would import its parents here.
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

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Accept jobs; none starts before ``wait``. See ``slurm.job.Executor``."""
        return self._graph.add(jobs)

    def wait(self, handles: Sequence[Handle], on_change: OnChange | None = None) -> None:
        """Run jobs until every handle is final; jobs submitted earlier come first, asked for or not.

        Whatever interrupts the wait, Ctrl-C or an error in ``on_change``, cancels what runs and is raised again;
        what waits stays waiting, and another ``wait`` would go on with it.
        """
        with self._interrupts.held_back(), self._graph.watched(handles, on_change):
            try:
                while not all_final(handles):
                    self._start_ready()
                    self._collect()
            except BaseException:
                self._end(list(self._children), "interrupted")
                raise

    def states(self, ids: Collection[str]) -> dict[str, Told]:
        """What is known of the jobs with these ids. See ``slurm.job.Executor``."""
        return self._graph.states(ids)

    def cancel(self, handles: Sequence[Handle]) -> None:
        """Drop what waits; end what runs: SIGTERM, a grace period, SIGKILL."""
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
            self._interrupts.let_through()  # the first start takes as long as preloading does
            with contextlib.suppress(ConnectionError):  # killed already, as will be found in a moment
                connection.send(Order(job.function, encode_arguments(job), job.log_path, environment))
            handle.details["pid"] = str(child.pid)
            self._graph.change(handle, JobState.RUNNING)

    def _collect(self) -> None:
        """Wait until a child ends, if there is any, and settle all that have ended."""
        for child in self._wait_for_any(self._children, timeout_seconds=None):
            outcome = _outcome(child)
            self._children.remove(child)
            self._graph.change(child.handle, *outcome)

    def _terminate(self, children: Sequence[_Child]) -> None:
        """Ask jobs to end and wait until they have, or the grace period is over."""
        for child in children:
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        left = list(children)
        while left and (seconds := deadline - time.monotonic()) > 0:
            ended = self._wait_for_any(left, seconds)
            left = [child for child in left if child not in ended]

    def _wait_for_any(self, children: Sequence[_Child], timeout_seconds: float | None) -> list[_Child]:
        """Those of ``children`` that have ended, once one has or the time is over; the place for Ctrl-C."""
        if children:
            wait([child.process.sentinel for child in children] + self._interrupts.descriptors, timeout_seconds)
        self._interrupts.let_through()
        return _ended(children)

    def _end(self, children: Sequence[_Child], reason: str) -> None:
        """End processes and settle their jobs; one that has ended by itself keeps the outcome it had."""
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
    """How an ended child fared; ends whatever it left running."""
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
    """Signal a job's process group, or the job alone while it is too young to have one."""
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        if child.process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)


EXECUTOR = LocalExecutor

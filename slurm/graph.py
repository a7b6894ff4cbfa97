"""The dependency graph of submitted jobs: which job may run next, and which can never run."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from slurm.errors import InputError
from slurm.job import Handle, Job, JobState, OnChange

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def check_jobs(jobs: Sequence[Job]) -> None:
    """Check that every executor could run these jobs.

    Raises
    ------
    InputError
        A duplicate id, a cycle, a function that is not ``package.module:name``, or arguments that are not JSON values.
    """
    twice = [job_id for job_id, count in Counter(job.id for job in jobs).items() if count > 1]
    if twice:
        raise InputError(f"job ids must be unique; given more than once: {', '.join(twice)}")
    for job in jobs:
        if not _FUNCTION.fullmatch(job.function):
            raise InputError(f"job {job.id}: function must read package.module:name, not {job.function!r}")
        encode_arguments(job)
    try:
        TopologicalSorter({job.id: job.parents for job in jobs}).prepare()
    except CycleError as error:
        raise InputError(f"jobs wait for each other in a circle: {' → '.join(error.args[1])}") from None


def encode_arguments(job: Job) -> str:
    """Return a job's arguments as JSON text: every executor passes them this way, so the job gets equal values."""
    try:
        return json.dumps(dict(job.arguments))
    except (TypeError, ValueError) as error:
        raise InputError(f"job {job.id}: arguments must be JSON values ({error})") from None


class JobGraph:
    """The jobs submitted to one executor, and the state of each.

    All changes of state go through ``change``, so that ``on_change`` is called for every one.
    """

    def __init__(self) -> None:
        self._handles: dict[str, Handle] = {}
        # In order of submission. Parents are stored as handles, because an id can be submitted again for a new job.
        self._waiting: dict[str, tuple[Handle, ...]] = {}
        self._on_change: OnChange | None = None

    def add(self, jobs: Sequence[Job]) -> list[Handle]:
        """Add all jobs or none. A parent may be in ``jobs`` or added earlier; an unknown parent counts as done.

        Raises
        ------
        InputError
            ``check_jobs`` rejects the jobs, or a job with one of the ids has not ended yet.
        """
        check_jobs(jobs)
        for job in jobs:
            earlier = self._handles.get(job.id)
            if earlier is not None and not earlier.state.is_final:
                raise InputError(f"job {job.id} is already {earlier.state}; it can be submitted again once it ended")
        handles = [Handle(job) for job in jobs]
        self._handles.update({handle.job.id: handle for handle in handles})
        for handle in handles:
            known = (self._handles.get(parent) for parent in handle.job.parents)
            self._waiting[handle.job.id] = tuple(parent for parent in known if parent is not None)
        return handles

    def next_ready(self) -> Handle | None:
        """Return the first submitted job whose parents are all done; None if there is none."""
        self.settle()
        for job_id, parents in self._waiting.items():
            if all(parent.state is JobState.DONE for parent in parents):
                return self._handles[job_id]
        return None

    def settle(self) -> None:
        """Give every descendant of a failed or cancelled job that job's final state."""
        settled = True
        while settled:
            settled = False
            for job_id, parents in list(self._waiting.items()):
                lost = next((p for p in parents if p.state in (JobState.FAILED, JobState.CANCELLED)), None)
                if lost is not None:
                    self.change(self._handles[job_id], lost.state, f"parent {lost.job.id} {lost.state}")
                    settled = True

    def find(self, ids: Collection[str]) -> list[Handle]:
        """Return the last job under each of these ids; unknown ids are left out."""
        return [self._handles[job_id] for job_id in ids if job_id in self._handles]

    def change(self, handle: Handle, state: JobState, reason: str | None = None) -> None:
        """Set a job's state and call ``on_change``."""
        handle.state = state
        handle.reason = reason
        self._waiting.pop(handle.job.id, None)
        if self._on_change is not None:
            self._on_change(handle)

    @contextlib.contextmanager
    def watched(self, handles: Sequence[Handle], on_change: OnChange | None) -> Iterator[None]:
        """Call ``on_change`` for every change of state within the block.

        Raises
        ------
        InputError
            A handle comes from another executor: waiting for its job would never end.
        """
        foreign = [h.job.id for h in handles if not h.state.is_final and self._handles.get(h.job.id) is not h]
        if foreign:
            raise InputError(f"not submitted to this executor: {', '.join(foreign)}")
        self._on_change = on_change
        try:
            yield
        finally:
            self._on_change = None


def all_final(handles: Sequence[Handle]) -> bool:
    return all(handle.state.is_final for handle in handles)

"""Which submitted job may run next, and which never will."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from slurm.errors import InputError
from slurm.job import Handle, Job, JobState, OnChange, Told

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def check_jobs(jobs: Sequence[Job]) -> None:
    """Refuse what no executor could run.

    Raises
    ------
    InputError
        An id twice, a circle, a function that is not ``package.module:name``, arguments that JSON can't hold.
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
    """A job's arguments as the JSON every executor hands over, so that a job sees the same wherever it runs."""
    try:
        return json.dumps(dict(job.arguments))
    except (TypeError, ValueError) as error:
        raise InputError(f"job {job.id}: arguments must be JSON values ({error})") from None


class JobGraph:
    """The jobs submitted to one executor and where each of them stands.

    Every change of state goes through ``change``, so that the caller's ``on_change`` misses none.
    """

    def __init__(self) -> None:
        self._handles: dict[str, Handle] = {}
        # In order of submission. Parents are held as handles: an id that is submitted again later is another job.
        self._waiting: dict[str, tuple[Handle, ...]] = {}
        self._on_change: OnChange | None = None

    def add(self, jobs: Sequence[Job]) -> list[Handle]:
        """Accept jobs, all or none. Parents may be among ``jobs`` or were added before; others count as done.

        Raises
        ------
        InputError
            What ``check_jobs`` refuses, or the id of a job that has not ended yet.
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
        """The job submitted first among those whose parents are all done."""
        self.settle()
        for job_id, parents in self._waiting.items():
            if all(parent.state is JobState.DONE for parent in parents):
                return self._handles[job_id]
        return None

    def settle(self) -> None:
        """Give every job that waits for a failed or cancelled one its final state, down to the last descendant."""
        settled = True
        while settled:
            settled = False
            for job_id, parents in list(self._waiting.items()):
                lost = next((p for p in parents if p.state in (JobState.FAILED, JobState.CANCELLED)), None)
                if lost is not None:
                    self.change(self._handles[job_id], lost.state, f"parent {lost.job.id} {lost.state}")
                    settled = True

    def states(self, ids: Collection[str]) -> dict[str, Told]:
        """What is known of the last jobs with these ids."""
        known = {job_id: (number, self._handles[job_id]) for number, job_id in enumerate(self._handles)}
        return {
            job_id: Told(handle.state, handle.reason, submission=number)
            for job_id, (number, handle) in known.items()
            if job_id in ids
        }

    def change(self, handle: Handle, state: JobState, reason: str | None = None) -> None:
        """Set a job's state and tell whoever watches."""
        handle.state = state
        handle.reason = reason
        self._waiting.pop(handle.job.id, None)
        if self._on_change is not None:
            self._on_change(handle)

    @contextlib.contextmanager
    def watched(self, handles: Sequence[Handle], on_change: OnChange | None) -> Iterator[None]:
        """Report every change to ``on_change`` within the block.

        Raises
        ------
        InputError
            A handle that another executor gave out, which this one could wait for without end.
        """
        strangers = [h.job.id for h in handles if not h.state.is_final and self._handles.get(h.job.id) is not h]
        if strangers:
            raise InputError(f"not submitted to this executor: {', '.join(strangers)}")
        self._on_change = on_change
        try:
            yield
        finally:
            self._on_change = None


def all_final(handles: Sequence[Handle]) -> bool:
    return all(handle.state.is_final for handle in handles)

"""Where each run stands: its directory, what its executor says of its job, and its parents, combined in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from results.runs import RunState


class Told(Protocol):
    """What an executor says of a run's last job, as ``slurm.job.Told``; read-only attributes."""

    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def number(self) -> str | None: ...
    @property
    def asked_at(self) -> float: ...
    @property
    def submission(self) -> int: ...
    @property
    def had_failed(self) -> bool: ...


@dataclass(frozen=True)
class OnDisk:
    """What a run's directory says, neither its executor nor its parents asked.

    Parameters
    ----------
    wrote
        SHA-256 of the weights and of the header of the checkpoint that the run left, by its record.
    judged
        By parent, the same of the checkpoint that the run judged.
    is_interrupted
        Its last attempt ended for want of disk space or an I/O error, and left the reason.
    is_cancel_noted
        ``opera-bench cancel`` left a note.
    is_here
        The last attempt started on this host.
    number
        The scheduler's id of the last attempt's job.
    began_at, failed_at
        Modification times of ``attempts.jsonl`` and ``failure.json`` in seconds, by the file server's clock.
    """

    parents: tuple[str, ...]
    state: RunState
    reason: str | None = None
    wrote: tuple[str, ...] | None = None
    judged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_interrupted: bool = False
    is_cancel_noted: bool = False
    is_here: bool = False
    has_attempts: bool = False
    number: str | None = None
    began_at: float = 0.0
    failed_at: float = 0.0


@dataclass(frozen=True)
class Standing:
    """``own_state`` leaves parents out; ``state`` and ``reason`` are what a person is shown."""

    own_state: RunState
    state: RunState
    reason: str | None = None


LOST = frozenset({RunState.FAILED, RunState.CANCELLED, RunState.DAMAGED})
"""States of a parent that will not be done unless somebody starts it again."""
_UNTOLD = frozenset({RunState.PLANNED, RunState.WAITING, RunState.UNKNOWN})
"""States in which a run's directory does not say whether its executor still has the job."""
_ENDED = frozenset({RunState.DONE, RunState.FAILED, RunState.CANCELLED})


def standing(runs: Mapping[str, OnDisk], told: Mapping[str, Told]) -> dict[str, Standing]:
    """The standing of each run.

    Parameters
    ----------
    runs
        By run id, parents among them; a parent that is missing has not run.
    told
        What executors say, by run id; runs that no executor knows are left out.
    """
    found: dict[str, Standing] = {}
    for run_id in runs:
        unvisited, path = [run_id], set()
        while unvisited:  # a loop, since a chain of parents may be longer than Python's stack
            current = unvisited[-1]
            ahead = [p for p in runs[current].parents if p in runs and p not in found and p not in path]
            path.add(current)
            if current in found or not ahead:
                unvisited.pop()
                if current not in found:
                    found[current] = _stand(current, runs, told, found)
            else:
                unvisited += ahead
    return found


def _stand(
    run_id: str, runs: Mapping[str, OnDisk], told: Mapping[str, Told], found: Mapping[str, Standing]
) -> Standing:
    run = runs[run_id]
    if parent := _other_checkpoint(run, runs):
        why = f"it evaluated a checkpoint that its parent {parent} no longer has; opera-bench retry computes it again"
        return Standing(RunState.DAMAGED, RunState.DAMAGED, why)
    own, reason = _own_state(run, told.get(run_id))
    lost = next((p for p in run.parents if p in found and found[p].state in LOST), None)
    # SLURM cancels a job whose parent failed. Nobody asked for this run to end, so it is the parent's to answer for.
    if own is RunState.CANCELLED and not run.is_cancel_noted and (lost or _was_dropped(run_id, run.parents, told)):
        own, reason = RunState.PLANNED, None
    if own is not RunState.PLANNED:
        return Standing(own, own, reason)
    if lost:
        return Standing(own, RunState.FAILED, f"parent {lost} {found[lost].state.value}")
    waits = any(parent not in found or found[parent].state is not RunState.DONE for parent in run.parents)
    return Standing(own, RunState.WAITING if waits else own, reason)


def _other_checkpoint(run: OnDisk, runs: Mapping[str, OnDisk]) -> str | None:
    """The parent that was computed again and left another checkpoint than the one this run judged, if any.

    A parent without a record says nothing: its checkpoint may come out the same.
    """
    for parent, judged in run.judged.items() if run.state is RunState.DONE else ():
        if parent in runs and runs[parent].wrote not in (None, judged):
            return parent
    return None


def _own_state(run: OnDisk, told: Told | None) -> tuple[RunState, str | None]:
    if told is None or not _decides(told, run):
        return run.state, run.reason
    state = RunState(told.state)
    if state is not RunState.DONE:
        return state, told.reason
    if run.has_attempts and run.number != told.number:
        return run.state, run.reason  # somebody has started the run again since, outside the scheduler
    return RunState.FAILED, f"{told.reason or 'its job'} ended well but left no record"


def _decides(told: Told, run: OnDisk) -> bool:
    """Whether the executor's answer counts, and not the run's directory.

    A job that is back in the queue will start again, however the attempt before ended. A heartbeat on another host
    stays fresh for a while after its job has ended, which the scheduler saw.
    """
    state = RunState(told.state)
    if run.is_interrupted and state in _ENDED and told.number == run.number:
        return False
    if run.state in _UNTOLD:
        return True
    if run.state is RunState.FAILED:
        return state is RunState.WAITING and told.asked_at > run.failed_at
    if run.state is not RunState.RUNNING or run.is_here or told.number != run.number:
        return False
    is_back = state is RunState.WAITING and told.asked_at > run.began_at
    return is_back or state in (RunState.CANCELLED, RunState.FAILED)


def _was_dropped(run_id: str, parents: Sequence[str], told: Mapping[str, Told]) -> bool:
    """Whether the scheduler itself cancelled a job, since a job that it waited for did not succeed.

    That one may have been submitted again since, by another sweep that wants it too, or be back in the queue.
    """
    own = told.get(run_id)
    for parent in parents:
        other = told.get(parent)
        if other is None:
            continue
        if other.had_failed or RunState(other.state) in (RunState.FAILED, RunState.CANCELLED):
            return True
        if own is not None and other.submission > own.submission:
            return True
    return False

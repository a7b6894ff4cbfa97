"""Computes each run's state from its directory, the executor's answer about its job, and its parents' states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from results.runs import RunState


class JobAnswer(Protocol):
    """An executor's answer about a run's last job, such as ``slurm.job.JobReport``; all attributes are read-only."""

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
    """A run's state and facts read from its directory alone, without executor and parents.

    Parameters
    ----------
    written
        SHA-256 of the weights and of the header of the checkpoint that the run wrote, from its record.
    evaluated
        Parent's run id → SHA-256 of the weights and of the header of the parent's checkpoint that the run evaluated.
    data
        From the run's record: fingerprint of its data, and how the data differ from the published dataset.
    is_interrupted
        True if the last attempt was ended by a full disk or an I/O error and wrote the reason to ``failure.json``.
    has_cancel_note
        True if ``opera-bench cancel`` wrote ``cancelled.json``.
    is_here
        True if the last attempt started on this host.
    job_id
        The scheduler's job id of the last attempt.
    began_at, failed_at
        Modification times of ``attempts.jsonl`` and ``failure.json`` in seconds, by the file server's clock.
    """

    parents: tuple[str, ...]
    state: RunState
    reason: str | None = None
    written: tuple[str, ...] | None = None
    evaluated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    data: tuple[str | None, str | None] = (None, None)
    is_interrupted: bool = False
    has_cancel_note: bool = False
    is_here: bool = False
    has_attempts: bool = False
    job_id: str | None = None
    began_at: float = 0.0
    failed_at: float = 0.0


@dataclass(frozen=True)
class Standing:
    """A run's effective ``state`` with its ``reason``, and its ``own_state``, which doesn't depend on the parents."""

    own_state: RunState
    state: RunState
    reason: str | None = None


LOST = frozenset({RunState.FAILED, RunState.CANCELLED, RunState.DAMAGED})
"""States of a parent that stays undone until a user starts it again."""
_UNDECIDED_ON_DISK = frozenset({RunState.PLANNED, RunState.WAITING, RunState.UNKNOWN})
"""States, read from a run's directory, in which the executor may still have the job."""
_ENDED = frozenset({RunState.DONE, RunState.FAILED, RunState.CANCELLED})


def standing(runs: Mapping[str, OnDisk], answers: Mapping[str, JobAnswer]) -> dict[str, Standing]:
    """Return the standing of each run, by run id.

    Parameters
    ----------
    runs
        Run id → facts on disk, for runs and their parents. A parent that isn't listed counts as not done.
    answers
        Run id → the executor's answer, for runs that an executor knows.
    """
    found: dict[str, Standing] = {}
    for run_id in runs:
        unvisited, path = [run_id], set()
        while unvisited:  # not recursive: a chain of parents may exceed Python's stack
            current = unvisited[-1]
            ahead = [p for p in runs[current].parents if p in runs and p not in found and p not in path]
            path.add(current)
            if current in found or not ahead:
                unvisited.pop()
                if current not in found:
                    found[current] = _compute_standing(current, runs, answers, found)
            else:
                unvisited += ahead
    return found


def _compute_standing(
    run_id: str, runs: Mapping[str, OnDisk], answers: Mapping[str, JobAnswer], standings: Mapping[str, Standing]
) -> Standing:
    run = runs[run_id]
    if parent := _other_checkpoint(run, runs):
        why = f"it evaluated a checkpoint that its parent {parent} no longer has; opera-bench retry computes it again"
        return Standing(RunState.DAMAGED, RunState.DAMAGED, why)
    own_state, reason = _own_state(run, answers.get(run_id))
    lost = next((p for p in run.parents if p in standings and standings[p].state in LOST), None)
    # SLURM cancels a job whose parent failed. The user didn't cancel this run, so show the parent's failure instead.
    if (
        own_state is RunState.CANCELLED
        and not run.has_cancel_note
        and (lost or _was_dropped(run_id, run.parents, answers))
    ):
        own_state, reason = RunState.PLANNED, None
    if own_state is not RunState.PLANNED:
        return Standing(own_state, own_state, reason)
    if lost:
        return Standing(own_state, RunState.FAILED, f"parent {lost} {standings[lost].state.value}")
    waits = any(parent not in standings or standings[parent].state is not RunState.DONE for parent in run.parents)
    return Standing(own_state, RunState.WAITING if waits else own_state, reason)


def _other_checkpoint(run: OnDisk, runs: Mapping[str, OnDisk]) -> str | None:
    """Return the parent whose record lists another checkpoint than the one ``run`` evaluated, or None.

    A parent without a record is skipped: when it is computed again, it may write an identical checkpoint.
    """
    for parent, evaluated in run.evaluated.items() if run.state is RunState.DONE else ():
        if parent in runs and runs[parent].written not in (None, evaluated):
            return parent
    return None


def _own_state(run: OnDisk, answer: JobAnswer | None) -> tuple[RunState, str | None]:
    if answer is None or not _decides(answer, run):
        return run.state, run.reason
    state = RunState(answer.state)
    if state is not RunState.DONE:
        return state, answer.reason
    if run.has_attempts and run.job_id != answer.number:
        return run.state, run.reason  # a later attempt of the run started outside this job
    return RunState.FAILED, f"{answer.reason or 'its job'} ended well but left no record"


def _decides(answer: JobAnswer, run: OnDisk) -> bool:
    """Return whether to trust the executor's answer over the run's directory.

    If a job is back in the queue, the run will start again although its directory says failed or running. If a job
    ended on another host, the scheduler knows it, while the run's heartbeat stays fresh for some time.
    """
    state = RunState(answer.state)
    if run.is_interrupted and state in _ENDED and answer.number == run.job_id:
        return False
    if run.state in _UNDECIDED_ON_DISK:
        return True
    if run.state is RunState.FAILED:
        return state is RunState.WAITING and answer.asked_at > run.failed_at
    if run.state is not RunState.RUNNING or run.is_here or answer.number != run.job_id:
        return False
    is_back = state is RunState.WAITING and answer.asked_at > run.began_at
    return is_back or state in (RunState.CANCELLED, RunState.FAILED)


def _was_dropped(run_id: str, parents: Sequence[str], answers: Mapping[str, JobAnswer]) -> bool:
    """Return whether the scheduler cancelled a run's job because a parent's job didn't succeed.

    The parent's job may have been submitted again by another sweep, or be back in the queue, so a parent's past
    failure or later submission counts as well.
    """
    answer = answers.get(run_id)
    for parent in parents:
        other = answers.get(parent)
        if other is None:
            continue
        if other.had_failed or RunState(other.state) in (RunState.FAILED, RunState.CANCELLED):
            return True
        if answer is not None and other.submission > answer.submission:
            return True
    return False

"""Every run under one directory, with the state a reader should be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from results.errors import InputError
from results.record import Record, read_record
from results.runs import RunDirectory, RunState


@dataclass(frozen=True)
class Run:
    """One run directory.

    Parameters
    ----------
    stage
        ``pretrain`` or the evaluator's name.
    state
        The effective state: a run that can't start because of a parent is failed, one whose parents are unfinished
        is waiting.
    config
        ``{pretrain: …}``, and for an evaluation ``{evaluator: …}`` beside it.
    reason
        Why the run failed or is unknown; one sentence.
    """

    run_id: str
    stage: str
    state: RunState
    config: dict[str, Any]
    parents: tuple[str, ...]
    record: Record | None
    reason: str | None
    directory: Path


@dataclass(frozen=True)
class Store:
    """Runs sorted by id, and one sentence for each directory that could not be read."""

    runs: tuple[Run, ...]
    problems: tuple[str, ...]


def load_runs(runs_directory: Path, run_ids: Iterable[str] | None = None) -> Store:
    """Read the runs under ``runs_directory``, all of them or those named.

    Ids without a directory are left out. A damaged record, or one that belongs to another run, is a problem and not
    an error; its run is listed as unknown when its configuration can still be read.

    Raises
    ------
    InputError
        ``runs_directory`` does not exist.
    """
    if not runs_directory.is_dir():
        raise InputError(f"{runs_directory}: no such directory; give the directory that holds the runs")
    wanted = sorted({path.name for path in runs_directory.iterdir()} if run_ids is None else set(run_ids))
    found: dict[str, Run] = {}
    problems: list[str] = []
    unread = list(reversed(wanted))
    seen = set(unread)
    while unread:
        run = read_run(RunDirectory(runs_directory / unread.pop()), problems)
        if run is not None:
            found[run.run_id] = run
            unread += [parent for parent in run.parents if parent not in seen]
            seen.update(run.parents)
    resolved = resolve(found)
    return Store(tuple(resolved[run_id] for run_id in wanted if run_id in resolved), tuple(problems))


def read_run(directory: RunDirectory, problems: list[str]) -> Run | None:
    """The run as its own directory tells it, parents not asked; None for a directory that holds no run."""
    if not (directory.config.exists() or directory.record.exists()):
        return None
    unreadable: str | None = None
    if directory.record.exists():
        try:
            return _from_record(directory)
        except (InputError, OSError) as error:
            unreadable = str(error)
            problems.append(unreadable)
    try:
        planned = directory.read_config()
    except FileNotFoundError:
        return None
    except (InputError, OSError) as error:
        problems.append(str(error))
        return None
    stage, config, parents = planned["stage"], planned["config"], tuple(planned["parents"])
    state = RunState.UNKNOWN if unreadable else directory.state()
    reason = unreadable or reason_for(directory, state)
    return Run(directory.run_id, stage, state, config, parents, None, reason, directory.path)


def _from_record(directory: RunDirectory) -> Run:
    record = read_record(directory.record)
    parents = tuple(parent.run_id for parent in record.parents)
    return Run(record.run_id, record.stage, RunState.DONE, record.config, parents, record, None, directory.path)


def reason_for(directory: RunDirectory, state: RunState) -> str | None:
    if state is RunState.FAILED:
        lines = str(directory.read_failure().get("error", "")).strip().splitlines()
        return lines[0] if lines else "no reason recorded"
    if state is RunState.UNKNOWN:
        return "started on another host, and its heartbeat has stopped"
    return None


def resolve(found: dict[str, Run]) -> dict[str, Run]:
    """The runs with the state that follows from their parents'."""
    resolved: dict[str, Run] = {}
    for run_id in found:
        _resolve(run_id, found, resolved)
    return resolved


def _resolve(run_id: str, found: dict[str, Run], resolved: dict[str, Run]) -> Run | None:
    """Fill ``resolved`` with the effective state of a run and, first, of its parents."""
    if run_id in resolved or run_id not in found:
        return resolved.get(run_id)
    run = resolved[run_id] = found[run_id]
    if run.state is not RunState.PLANNED:
        return run
    parents = {parent: _resolve(parent, found, resolved) for parent in run.parents}
    for parent_id, parent in parents.items():
        if parent is not None and parent.state in (RunState.FAILED, RunState.CANCELLED):
            reason = f"parent {parent_id} {parent.state.value}"
            resolved[run_id] = replace(run, state=RunState.FAILED, reason=reason)
            return resolved[run_id]
    if any(parent is None or parent.state is not RunState.DONE for parent in parents.values()):
        resolved[run_id] = replace(run, state=RunState.WAITING)
    return resolved[run_id]

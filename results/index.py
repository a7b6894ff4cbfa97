"""Loads the frame rows of many runs and rereads only records and configurations that have changed.

``<runs>/.index.json`` stores the content of each record or configuration with the file's inode, size and times of last
change. If one of these differs, the file is read again. Run states are never stored, because they depend on files that
come and go. The index ends with a checksum of its text. It can be deleted at any time; if it is damaged, or can't be
read or written, all runs are read from their own files.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.columns import COLUMNS
from results.frame import OWN_COLUMNS, Row, describe_own, describe_setting, expand, measured
from results.metrics import Metric
from results.runs import RunDirectory, RunState, write_atomically
from results.seal import seal, unseal
from results.state import JobAnswer, OnDisk
from results.store import NO_ANSWERS, Run, describe_damage, read_run, read_unrecorded, resolve, run_names
from results.temporaries import remove_temporaries_among

INDEX = ".index.json"
_RECORD = "record.json"
_FORMAT = [4, *COLUMNS]
"""Format version and declared columns. An index with another value here is ignored."""
_FINGERPRINT, _DIFFERS = OWN_COLUMNS.index("fingerprint"), OWN_COLUMNS.index("data_differs")


@dataclass(frozen=True)
class _Entry:
    """The stored content of one run's file.

    ``stamp`` comes from ``_file_stamp``; ``setting`` is the result of ``describe_setting``, which repetitions share;
    ``own`` holds the values of ``OWN_COLUMNS``; ``metrics`` maps a metric to its declaration's fields and its value;
    ``written`` and ``evaluated`` are fields of ``OnDisk``.
    """

    stamp: list[Any]
    stage: str
    parents: list[str]
    setting: Row
    own: list[Any]
    metrics: dict[str, tuple[Any, ...]]
    written: list[str] | None
    evaluated: dict[str, list[str]]


def load_rows(
    runs_directory: Path, run_ids: Iterable[str] | None = None, answers: Mapping[str, JobAnswer] = NO_ANSWERS
) -> tuple[list[Row], tuple[str, ...]]:
    """Return the rows of ``results.frame.to_rows(load_runs(…).runs)`` and the problems of ``load_runs``.

    Parameters
    ----------
    answers
        Run id → the executor's answer, as for ``load_runs``.

    Raises
    ------
    InputError
        ``runs_directory`` does not exist.
    """
    known = _read_index(runs_directory)
    entries: dict[str, _Entry] = {}
    kept: dict[str, _Entry] = {}
    runs: dict[str, Run] = {}
    problems: list[str] = []
    asked = None if run_ids is None else set(run_ids)
    for name in run_names(runs_directory):
        stamp = _file_stamp(f"{runs_directory}/{name}")
        before = known.get(name)
        if stamp is not None and before is not None and before.stamp == stamp:
            kept[name] = entries[name] = before
            runs[name] = _run(runs_directory, name, before)
            continue
        run = read_run(RunDirectory(runs_directory / name), problems if asked is None or name in asked else [])
        if run is None:
            continue
        runs[name] = run
        entries[name] = _entry(stamp or [], run)
        # Don't store a damaged run, nor one whose record appeared or vanished while it was read.
        is_stable = stamp is not None and (run.record is not None) == (stamp[0] == _RECORD)
        if is_stable and run.state is not RunState.DAMAGED:
            kept[name] = entries[name]
    if kept != known:
        _write_index(runs_directory, kept)
    resolved = resolve(runs, answers)
    wanted = sorted(resolved if asked is None else asked & set(resolved))
    rows: list[Row] = []
    for name in wanted:
        described = {**entries[name].setting, **dict(zip(OWN_COLUMNS, entries[name].own, strict=True))}
        found = {metric: (_metric(*fields), value) for metric, (*fields, value) in entries[name].metrics.items()}
        rows += expand(described, resolved[name], found)
    return rows, (*problems, *describe_damage(_with_ancestors(resolved, wanted).values()))


def _with_ancestors(runs: Mapping[str, Run], run_ids: Iterable[str]) -> dict[str, Run]:
    """Return the named runs of ``runs`` and all their ancestors in it."""
    reached: dict[str, Run] = {}
    ahead = list(run_ids)
    while ahead:
        name = ahead.pop()
        if name in runs and name not in reached:
            reached[name] = runs[name]
            ahead += runs[name].parents
    return reached


def _file_stamp(directory: str) -> list[Any] | None:
    """Return name, mtime, ctime, size and inode of the run's record, or else of its configuration; None without either.

    The ctime is needed because a program can set the mtime back.
    """
    for name in (_RECORD, "config.yaml"):
        try:
            found = os.stat(f"{directory}/{name}")  # noqa: PTH116 — pathlib takes several times as long
        except FileNotFoundError:
            if os.path.islink(f"{directory}/{name}"):  # noqa: PTH114 — a dangling link: read_run reports it
                return None
            continue
        except OSError:
            return None
        return [name, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]
    return None


def _entry(stamp: list[Any], run: Run) -> _Entry:
    on_disk = run.on_disk
    return _Entry(
        stamp,
        run.stage,
        list(run.parents),
        describe_setting(run),
        list(describe_own(run).values()),
        {name: (*vars(metric).values(), value) for name, (metric, value) in measured(run).items()},
        None if on_disk.written is None else list(on_disk.written),
        {parent: list(sums) for parent, sums in on_disk.evaluated.items()},
    )


_metric = functools.cache(Metric)
"""A metric from its fields; one object for all runs that declare it alike."""


def _run(runs_directory: Path, name: str, entry: _Entry) -> Run:
    """Make a run from its index entry, without configuration, record and its own directory: rows need none."""
    parents = tuple(entry.parents)
    if entry.stamp[0] == _RECORD:
        written = None if entry.written is None else tuple(entry.written)
        evaluated = {parent: tuple(sums) for parent, sums in entry.evaluated.items()}
        data = (entry.own[_FINGERPRINT], entry.own[_DIFFERS])
        on_disk = OnDisk(parents, RunState.DONE, written=written, evaluated=evaluated, data=data)
    else:
        on_disk = read_unrecorded(RunDirectory(runs_directory / name), parents)
    return Run(name, entry.stage, on_disk.state, {}, parents, None, on_disk.reason, runs_directory, on_disk)


def _read_index(runs_directory: Path) -> dict[str, _Entry]:
    """Return the index entries by run id; empty if the index is missing, damaged or of another format."""
    path = runs_directory / INDEX
    try:
        text = unseal(path.read_bytes()) if path.is_file() else None
        loaded = json.loads(text or "{}")
        if loaded.get("format") != _FORMAT:
            return {}
        settings = loaded["settings"]
        return {
            name: _Entry(stamp, stage, parents, settings[number], *rest)
            for name, (stamp, stage, parents, number, *rest) in loaded["runs"].items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _write_index(runs_directory: Path, entries: dict[str, _Entry]) -> None:
    numbers: dict[str, int] = {}
    runs = {}
    for name, entry in entries.items():
        text = json.dumps(entry.setting, ensure_ascii=False, separators=(",", ":"))
        fields = {**vars(entry), "setting": numbers.setdefault(text, len(numbers))}
        runs[name] = list(fields.values())
    rest = json.dumps({"format": _FORMAT, "runs": runs}, ensure_ascii=False, separators=(",", ":"))
    document = f'{{"settings":[{",".join(numbers)}],{rest[1:]}'
    # Skip the index silently if the directory isn't writable or a name in it isn't UTF-8.
    with contextlib.suppress(OSError, UnicodeEncodeError):
        remove_temporaries_among(runs_directory.iterdir(), runs_directory)
        write_atomically(runs_directory / INDEX, seal(document))

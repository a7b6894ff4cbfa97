"""The rows of many runs, without reading again what has not changed.

``<runs>/.index.json`` keeps what each record and configuration said when it was last read, beside its modification time
and size. A file that differs in either is read again; states are never kept, since they follow from files that come and
go. The index can be deleted at any time, and one that can't be read or written is done without.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.errors import InputError
from results.frame import COLUMNS, OF_THE_MOMENT, Row, describe, expand
from results.runs import RunDirectory, RunState, write_atomically
from results.store import Run, read_run, reason_for, resolve

INDEX = ".index.json"
_FORMAT = [1, *COLUMNS]
"""An index of other columns is no index."""
_KEPT = tuple(column for column in COLUMNS if column not in OF_THE_MOMENT)


@dataclass(frozen=True)
class _Entry:
    """What one file said: ``sign`` is its name, modification time in ns and size; ``values`` are those of ``_KEPT``."""

    sign: list[Any]
    stage: str
    parents: list[str]
    values: list[Any]
    metrics: dict[str, float | None]


def load_rows(runs_directory: Path, run_ids: Iterable[str] | None = None) -> tuple[list[Row], tuple[str, ...]]:
    """Rows as of ``results.frame.to_rows(load_runs(…).runs)``, and the problems met on the way.

    Raises
    ------
    InputError
        ``runs_directory`` does not exist.
    """
    if not runs_directory.is_dir():
        raise InputError(f"{runs_directory}: no such directory; give the directory that holds the runs")
    with _without_collecting():
        return _load_rows(runs_directory, run_ids)


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """Do without the garbage collector: all that is made from the index stays, and looking it through costs a fifth."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _load_rows(runs_directory: Path, run_ids: Iterable[str] | None) -> tuple[list[Row], tuple[str, ...]]:
    with os.scandir(runs_directory) as listing:
        present = sorted(entry.name for entry in listing if not entry.name.startswith("."))
    known = _read_index(runs_directory)
    entries: dict[str, _Entry] = {}
    runs: dict[str, Run] = {}
    problems: list[str] = []
    for name in present:
        kept = known.get(name)
        sign = _sign(f"{runs_directory}/{name}")
        if sign is None:
            continue
        if kept is not None and kept.sign == sign:
            entries[name], runs[name] = kept, _run(runs_directory, name, kept)
            continue
        run = read_run(RunDirectory(runs_directory / name), problems)
        if run is None:
            continue
        runs[name] = run
        described = describe(run)
        metrics = {} if run.record is None else dict(run.record.metrics)
        entry = _Entry(sign, run.stage, list(run.parents), [described[column] for column in _KEPT], metrics)
        # a damaged record is read again each time, so that it is told each time
        if (run.record is not None) == (sign[0] == "record.json"):
            entries[name] = entry
        else:
            known[name] = entry
    if any(known.get(name) is not entry for name, entry in entries.items()) or len(entries) != len(known):
        _write_index(runs_directory, entries)
    resolved = resolve(runs)
    wanted = sorted(resolved) if run_ids is None else sorted(set(run_ids) & set(resolved))
    rows: list[Row] = []
    for name in wanted:
        entry = entries.get(name) or known[name]
        rows += expand(dict(zip(_KEPT, entry.values, strict=True)), resolved[name], entry.metrics)
    return rows, tuple(problems)


def _sign(directory: str) -> list[Any] | None:
    """Which file tells about the run, and what it looks like from outside; None for a directory that holds no run."""
    for name in ("record.json", "config.yaml"):
        try:
            found = os.stat(f"{directory}/{name}")  # noqa: PTH116 — pathlib takes several times as long
        except OSError:
            continue
        return [name, found.st_mtime_ns, found.st_size]
    return None


def _run(runs_directory: Path, name: str, entry: _Entry) -> Run:
    """The run without its configuration, record and place, which rows have no use for."""
    state, reason = RunState.DONE, None
    if entry.sign[0] != "record.json":
        directory = RunDirectory(runs_directory / name)
        state = directory.state()
        reason = reason_for(directory, state)
    return Run(name, entry.stage, state, {}, tuple(entry.parents), None, reason, runs_directory)


def _read_index(runs_directory: Path) -> dict[str, _Entry]:
    try:
        loaded = json.loads((runs_directory / INDEX).read_bytes())
        if loaded["format"] != _FORMAT:
            return {}
        return {name: _Entry(*fields) for name, fields in loaded["runs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write_index(runs_directory: Path, entries: dict[str, _Entry]) -> None:
    runs = {name: [e.sign, e.stage, e.parents, e.values, e.metrics] for name, e in entries.items()}
    document = json.dumps({"format": _FORMAT, "runs": runs}, ensure_ascii=False, separators=(",", ":"))
    with contextlib.suppress(OSError):  # someone else's directory may be read all the same
        write_atomically(runs_directory / INDEX, document)

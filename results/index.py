"""The rows of many runs, without reading again what has not changed.

``<runs>/.index.json`` keeps what each record and configuration said when it was last read, beside its inode, its size
and the times of its last changes. A file that differs in any of them is read again; states are never kept, since they
follow from files that come and go. The index carries a checksum of its own text. It can be deleted at any time; an
index that is damaged, or can't be read or written, is done without.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.frame import COLUMNS, OF_THE_MOMENT, Row, describe, expand
from results.runs import RunDirectory, RunState, write_atomically
from results.seal import seal, unseal
from results.state import OnDisk, Told
from results.store import NOTHING_TOLD, Run, damage, read_run, resolve, run_names, unrecorded
from results.temporaries import remove_temporaries_among

INDEX = ".index.json"
_RECORD = "record.json"
_FORMAT = [3, *COLUMNS]
"""An index of other columns is no index."""
_KEPT = tuple(column for column in COLUMNS if column not in OF_THE_MOMENT)


@dataclass(frozen=True)
class _Entry:
    """What one file said; ``sign`` as of ``_sign``, ``values`` are those of ``_KEPT``, the last two of ``OnDisk``."""

    sign: list[Any]
    stage: str
    parents: list[str]
    values: list[Any]
    metrics: dict[str, float | None]
    wrote: list[str] | None
    judged: dict[str, list[str]]


def load_rows(
    runs_directory: Path, run_ids: Iterable[str] | None = None, told: Mapping[str, Told] = NOTHING_TOLD
) -> tuple[list[Row], tuple[str, ...]]:
    """Rows as of ``results.frame.to_rows(load_runs(…).runs)``, and the problems met on the way.

    Parameters
    ----------
    told
        What executors say of the runs, as of ``load_runs``.

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
    for name in run_names(runs_directory):
        sign = _sign(f"{runs_directory}/{name}")
        before = known.get(name)
        if sign is not None and before is not None and before.sign == sign:
            kept[name] = entries[name] = before
            runs[name] = _run(runs_directory, name, before)
            continue
        run = read_run(RunDirectory(runs_directory / name), problems)
        if run is None:
            continue
        runs[name] = run
        entries[name] = _entry(sign or [], run)
        # A damaged run is read again each time, and so is one that changes while it is read.
        if sign is not None and run.state is not RunState.DAMAGED and (run.record is not None) == (sign[0] == _RECORD):
            kept[name] = entries[name]
    if kept != known:
        _write_index(runs_directory, kept)
    resolved = resolve(runs, told)
    wanted = sorted(resolved) if run_ids is None else sorted(set(run_ids) & set(resolved))
    rows: list[Row] = []
    for name in wanted:
        described = dict(zip(_KEPT, entries[name].values, strict=True))
        rows += expand(described, resolved[name], entries[name].metrics)
    return rows, (*problems, *damage(resolved.values()))


def _sign(directory: str) -> list[Any] | None:
    """Which file tells about the run, and what it looks like from outside; None for a directory that holds no run.

    A program can set a modification time back, but not the time of the last change of the inode.
    """
    for name in (_RECORD, "config.yaml"):
        try:
            found = os.stat(f"{directory}/{name}")  # noqa: PTH116 — pathlib takes several times as long
        except FileNotFoundError:
            if os.path.islink(f"{directory}/{name}"):  # noqa: PTH114 — a link to nowhere, of which the run's reader tells
                return None
            continue
        except OSError:
            return None
        return [name, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]
    return None


def _entry(sign: list[Any], run: Run) -> _Entry:
    described, on_disk = describe(run), run.on_disk
    return _Entry(
        sign,
        run.stage,
        list(run.parents),
        [described[column] for column in _KEPT],
        {} if run.record is None else dict(run.record.metrics),
        None if on_disk.wrote is None else list(on_disk.wrote),
        {parent: list(sums) for parent, sums in on_disk.judged.items()},
    )


def _run(runs_directory: Path, name: str, entry: _Entry) -> Run:
    """The run without its configuration, record and place, which rows have no use for."""
    parents = tuple(entry.parents)
    if entry.sign[0] == _RECORD:
        wrote = None if entry.wrote is None else tuple(entry.wrote)
        judged = {parent: tuple(sums) for parent, sums in entry.judged.items()}
        on_disk = OnDisk(parents, RunState.DONE, wrote=wrote, judged=judged)
    else:
        on_disk = unrecorded(RunDirectory(runs_directory / name), parents)
    return Run(name, entry.stage, on_disk.state, {}, parents, None, on_disk.reason, runs_directory, on_disk)


def _read_index(runs_directory: Path) -> dict[str, _Entry]:
    """The entries by run id; none where the index is missing, of other columns or damaged."""
    path = runs_directory / INDEX
    try:
        text = unseal(path.read_bytes()) if path.is_file() else None
        loaded = json.loads(text or "{}")
        if loaded.get("format") != _FORMAT:
            return {}
        return {name: _Entry(*fields) for name, fields in loaded["runs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _write_index(runs_directory: Path, entries: dict[str, _Entry]) -> None:
    runs = {name: list(vars(entry).values()) for name, entry in entries.items()}
    document = json.dumps({"format": _FORMAT, "runs": runs}, ensure_ascii=False, separators=(",", ":"))
    # Someone else's directory may be read all the same, and one whose names are no UTF-8 is never kept.
    with contextlib.suppress(OSError, UnicodeEncodeError):
        remove_temporaries_among(runs_directory.iterdir(), runs_directory)
        write_atomically(runs_directory / INDEX, seal(document))

"""Finds the optional entries of a sweep that are left out, because an environment variable isn't set."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from bench.sweep.file import ImportEntry, PretrainEntry
from bench.sweep.model import Sweep
from bench.sweep.source import KeyPath, find_unset_variable


def is_left_out(entry: PretrainEntry | ImportEntry) -> bool:
    return _unset_variable(entry) is not None


def left_out_notes(sweep: Sweep) -> list[str]:
    """Return one sentence for each entry that is left out, also of groups and included sweeps."""
    notes = []
    for position, entry in enumerate(sweep.file.pretrain):
        if unset := _unset_variable(entry):
            (setting, *_), variable = unset
            where = sweep.where("pretrain", position, setting)
            who = entry.as_.method if isinstance(entry, ImportEntry) else ", ".join(entry.method)
            notes.append(
                f"{where}: {who} is left out: {setting} needs the environment variable {variable}, which isn't set"
            )
    return notes + [line for part in (*sweep.groups, *sweep.parts) for line in left_out_notes(part)]


def left_out_facts(sweep: Sweep) -> list[dict[str, Any]]:
    """Return what filters can match of the entries that are left out, so that a filter for them is no mistake."""
    return [facts for entry in sweep.file.pretrain if is_left_out(entry) for facts in _facts(entry)]


def _facts(entry: PretrainEntry | ImportEntry) -> Iterator[dict[str, Any]]:
    if isinstance(entry, ImportEntry):
        yield entry.as_.model_dump(include={"method", "backbone", "dataset", "epochs", "global_batch_size"})
        return
    for method, backbone, dataset in itertools.product(entry.method, entry.backbone, entry.dataset):
        yield {"method": method, "backbone": backbone, "dataset": dataset}


def _unset_variable(entry: PretrainEntry | ImportEntry) -> tuple[KeyPath, str] | None:
    """Return setting and name of an environment variable that an optional entry needs and that isn't set, or None."""
    if not entry.optional:
        return None
    written = entry.model_dump(by_alias=True)
    options = written.pop("options", {})
    return find_unset_variable({**written, **options})

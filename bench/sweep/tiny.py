"""Shrinks a checked sweep to digits for ``--tiny``, keeping the graph of runs. Doesn't import torch.

If an entry under ``pretrain`` names a full-size dataset, its backbones, datasets, batch sizes, epochs and widths shrink
as ``results.scale`` says; other settings and seeds stay, and the recipe is dropped, because the digits' recipes apply.
Evaluations shrink too. Entries that are already tiny don't change. The graph keeps its shape, except that the datasets
of a transfer become one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from bench.sweep.errors import InputError
from bench.sweep.file import ALIASES, EvaluateEntry, ImportEntry, PretrainEntry
from bench.sweep.model import Sweep
from results.scale import NAMES, PRETRAINING_DIVISORS, evaluation_divisors, shrink

SUFFIX = "-tiny"
"""Suffix of a tiny sweep's name, so that its report doesn't replace the full sweep's."""


def shrink_sweep(sweep: Sweep) -> Sweep:
    """Return the sweep shrunk to digits, named ``…-tiny``; unchanged if it is already tiny.

    Raises
    ------
    InputError
        Two values of a list would shrink to one number, and so two runs to one.
    """
    file = sweep.file
    if not sweep.parts and not sweep.groups and not any(_is_full_size(entry) for entry in file.pretrain):
        return sweep
    update = {
        "name": file.name + SUFFIX,
        "data": {name: directory for name, directory in file.data.items() if name not in NAMES["dataset"]},
        "pretrain": tuple(_shrink_pretraining(sweep, at, entry) for at, entry in enumerate(file.pretrain)),
        "evaluate": tuple(_shrink_evaluation(sweep, at, entry) for at, entry in enumerate(file.evaluate)),
    }
    parts, groups = (tuple(map(shrink_sweep, sweeps)) for sweeps in (sweep.parts, sweep.groups))
    return Sweep(file.model_copy(update=update), sweep.source, parts, groups)


def _is_full_size(entry: PretrainEntry | ImportEntry) -> TypeGuard[PretrainEntry]:
    """Return whether the entry names a full-size dataset; False for imports, which can't shrink."""
    return isinstance(entry, PretrainEntry) and any(name in NAMES["dataset"] for name in entry.dataset)


def _shrink_pretraining(sweep: Sweep, position: int, entry: PretrainEntry | ImportEntry) -> PretrainEntry | ImportEntry:
    if not _is_full_size(entry):
        return entry
    at = ("pretrain", position)
    update = {
        "backbone": tuple(shrink("backbone", list(entry.backbone), {})),
        "dataset": tuple(shrink("dataset", list(entry.dataset), {})),
        "recipe": None,
        "options": _shrink_options(sweep, at, entry.options, PRETRAINING_DIVISORS),
    }
    return entry.model_copy(update=update)


def _shrink_evaluation(sweep: Sweep, position: int, entry: EvaluateEntry) -> EvaluateEntry:
    at = ("evaluate", position, entry.evaluator)
    update = {
        "recipe": None,
        "only": _shrink_options(sweep, (*at, "only"), entry.only, PRETRAINING_DIVISORS),
        "except_": _shrink_options(sweep, (*at, "except"), entry.except_, PRETRAINING_DIVISORS),
        "options": _shrink_options(sweep, at, entry.options, evaluation_divisors(entry.evaluator)),
    }
    return entry.model_copy(update=update)


def _shrink_options(
    sweep: Sweep, at: tuple[str | int, ...], options: Mapping[str, Any], divisors: Mapping[str, float]
) -> dict[str, Any]:
    shrunk: dict[str, Any] = {}
    for key, value in options.items():
        name = ALIASES.get(key, key)
        shrunk[key] = shrink(name, value, divisors)
        if name in divisors and isinstance(value, list) and len(shrunk[key]) < len(value):
            where = sweep.where(*at, key)
            raise InputError(
                f"{where}: {key}: --tiny turns {value} into {shrunk[key]}; leave out values that become equal"
            )
    return shrunk

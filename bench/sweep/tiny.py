"""Shrinks a checked sweep for ``--tiny`` to digits or a sample of own images, and keeps the graph of runs.

Imports no torch.

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
from pretrain.datasets import module_name
from results.scale import NAMES, PRETRAINING_DIVISORS, evaluation_divisors, shrink

SUFFIX = "-tiny"
"""Suffix of a tiny sweep's name, so that its report doesn't replace the full sweep's."""


def shrink_sweep(sweep: Sweep) -> Sweep:
    """Return the sweep shrunk, named ``…-tiny``; unchanged if it is already tiny.

    Raises
    ------
    InputError
        Two values of a list would shrink to one number, and so two runs to one; or an imported checkpoint would be
        evaluated on the full-size dataset that it was pretrained on.
    """
    file = sweep.file
    follows_checkpoint = any("dataset" not in entry.options for entry in file.evaluate)
    for position, entry in enumerate(file.pretrain):
        if isinstance(entry, ImportEntry) and _is_full(entry.as_.dataset) and follows_checkpoint:
            raise InputError(
                f"{sweep.where('pretrain', position, 'as', 'dataset')}: --tiny can't shrink an imported checkpoint of "
                f"{entry.as_.dataset}, which would be evaluated at full size; leave the entry out, or run the sweep "
                "without --tiny"
            )
    evaluated = [name for entry in file.evaluate for name in _as_list(entry.options.get("dataset", []))]
    if (
        not (sweep.parts or sweep.groups)
        and not any(map(_is_full_size, file.pretrain))
        and not any(map(_is_own, evaluated))
    ):
        return sweep
    update = {
        "name": file.name + SUFFIX,
        "data": {
            shrink("dataset", name, {}): directory
            for name, directory in file.data.items()
            if name not in NAMES["dataset"] or _is_own(name)
        },
        "pretrain": tuple(_shrink_pretraining(sweep, at, entry) for at, entry in enumerate(file.pretrain)),
        "evaluate": tuple(_shrink_evaluation(sweep, at, entry) for at, entry in enumerate(file.evaluate)),
    }
    parts, groups = (tuple(map(shrink_sweep, sweeps)) for sweeps in (sweep.parts, sweep.groups))
    return Sweep(file.model_copy(update=update), sweep.source, parts, groups)


def _is_full_size(entry: PretrainEntry | ImportEntry) -> TypeGuard[PretrainEntry]:
    """Return whether the entry names a full-size dataset; False for imports, which can't shrink."""
    return isinstance(entry, PretrainEntry) and any(map(_is_full, entry.dataset))


def _is_full(dataset: str) -> bool:
    return dataset in NAMES["dataset"] or _is_own(dataset)


def _is_own(dataset: object) -> bool:
    """Return whether a dataset is own images at full size."""
    return isinstance(dataset, str) and module_name(dataset) == "folder"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


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

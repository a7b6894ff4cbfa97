"""Shrinks a checked sweep to digits for ``--tiny``, keeping the graph of runs. Doesn't import torch.

If an entry under ``pretrain`` names a full-size dataset, its backbones, datasets, batch sizes, epochs and widths shrink
as below; other settings and seeds stay, and the recipe is dropped, because the digits' recipes apply. Evaluations
shrink too. Entries that are already tiny don't change. The graph keeps its shape, except that the datasets of a
transfer become one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from bench.sweep.errors import InputError
from bench.sweep.file import ALIASES, EvaluateEntry, ImportEntry, PretrainEntry
from bench.sweep.model import Sweep

SUFFIX = "-tiny"
"""Suffix of a tiny sweep's name, so that its report doesn't replace the full sweep's."""

WORDS: Mapping[str, Mapping[str, str]] = {
    "backbone": {"resnet50": "tiny_resnet", "vit_small": "tiny_vit", "vit_base": "tiny_vit_base"},
    # One dataset replaces all four of Table 3: no other suitable dataset comes with a package.
    "dataset": {
        "imagenet": "digits",
        "cifar10": "mnist5k",
        "cifar100": "mnist5k",
        "flowers102": "mnist5k",
        "pets": "mnist5k",
        "ade20k": "digit_scenes",
        "coco": "digit_objects",
    },
}
# Dimensions of the class head don't shrink: they cost almost no time. The divisors turn the values of the full recipes
# into those of the digits' recipes, so that an ablation's main setting gives the run that the tables need.
PRETRAINING_DIVISORS: Mapping[str, int] = {
    "global_batch_size": 16,
    "epochs": 25,
    "embedding_dimension": 4,
    "mlp_dimension": 16,
}
EVALUATION_DIVISORS: Mapping[str, int] = {"global_batch_size": 16, "epochs": 50}


def shrink_sweep(sweep: Sweep) -> Sweep:
    """Return the sweep shrunk to digits, named ``…-tiny``; unchanged if it and its parts are already tiny.

    Raises
    ------
    InputError
        Two values of a list would shrink to one number, and so two runs to one.
    """
    file = sweep.file
    if not sweep.parts and not any(_is_full_size(entry) for entry in file.pretrain):
        return sweep
    update = {
        "name": file.name + SUFFIX,
        "data": {name: directory for name, directory in file.data.items() if name not in WORDS["dataset"]},
        "pretrain": tuple(_shrink_pretraining(sweep, at, entry) for at, entry in enumerate(file.pretrain)),
        "evaluate": tuple(_shrink_evaluation(sweep, at, entry) for at, entry in enumerate(file.evaluate)),
    }
    return Sweep(file.model_copy(update=update), sweep.source, tuple(map(shrink_sweep, sweep.parts)))


def _is_full_size(entry: PretrainEntry | ImportEntry) -> TypeGuard[PretrainEntry]:
    """Whether the entry names a full-size dataset; False for imports, which can't shrink."""
    return isinstance(entry, PretrainEntry) and any(name in WORDS["dataset"] for name in entry.dataset)


def _shrink_pretraining(sweep: Sweep, position: int, entry: PretrainEntry | ImportEntry) -> PretrainEntry | ImportEntry:
    if not _is_full_size(entry):
        return entry
    at = ("pretrain", position)
    update = {
        "backbone": tuple(_shrink("backbone", list(entry.backbone), {})),
        "dataset": tuple(_shrink("dataset", list(entry.dataset), {})),
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
        "options": _shrink_options(sweep, at, entry.options, EVALUATION_DIVISORS),
    }
    return entry.model_copy(update=update)


def _shrink_options(
    sweep: Sweep, at: tuple[str | int, ...], options: Mapping[str, Any], divisors: Mapping[str, int]
) -> dict[str, Any]:
    shrunk: dict[str, Any] = {}
    for key, value in options.items():
        name = ALIASES.get(key, key)
        shrunk[key] = _shrink(name, value, divisors)
        if name in divisors and isinstance(value, list) and len(shrunk[key]) < len(value):
            where = sweep.where(*at, key)
            raise InputError(
                f"{where}: {key}: --tiny turns {value} into {shrunk[key]}; leave out values that become equal"
            )
    return shrunk


def _shrink(setting: str, value: Any, divisors: Mapping[str, int]) -> Any:
    """A value, or each value of a list, shrunk to digits; unchanged if the setting has no smaller form."""
    if isinstance(value, list):
        return list(dict.fromkeys(_shrink(setting, item, divisors) for item in value))
    if setting in WORDS:
        return WORDS[setting].get(value, value)
    if setting in divisors and isinstance(value, int) and value > 0:
        return max(1, round(value / divisors[setting]))
    return value

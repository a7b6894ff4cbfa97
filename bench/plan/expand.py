"""Expands the entries of a sweep into resolved configurations: lists multiply, filters choose. Doesn't import torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bench.plan.filters import check_filter, idle_filters, matches, subject_facts
from bench.plan.optional import is_left_out, left_out_facts
from bench.sweep.errors import INPUT_ERRORS, InputError
from bench.sweep.file import (
    ALIASES,
    EVALUATE_KEYS,
    PRETRAIN_KEYS,
    EvaluateEntry,
    ImportDeclaration,
    ImportEntry,
    PretrainEntry,
)
from bench.sweep.model import Sweep
from evaluators.interface import EvaluatorConfig
from evaluators.lookup import find_evaluator, resolve_evaluation
from pretrain.config import PretrainConfig, RecipeReference
from pretrain.datasets import dataset_info
from pretrain.errors import shorten
from pretrain.foreign.lookup import find_format
from pretrain.methods.lookup import find_method, name_on
from pretrain.plugins import suggest
from pretrain.resolve import NO_ROOTS, resolve_pretraining
from pretrain.subject import ImportedPretraining, ImportSource, Subject

_SET_BY_ENTRY = {"method", "method_options", "backbone", "dataset", "dataset_version", "recipe", "seed"}
RUN_OPTIONS = tuple(key for key in PretrainConfig.model_fields if key not in _SET_BY_ENTRY)


MOST_RUNS = 10_000
"""Largest number of runs of one entry, about the length of a scheduler's queue."""


@dataclass(frozen=True)
class Evaluation:
    """The resolved configuration of one evaluator on one checkpoint."""

    evaluator: str
    config: EvaluatorConfig
    subject: Subject


def expand_pretraining(sweep: Sweep, roots: Mapping[str, Path] = NO_ROOTS) -> list[Subject]:
    """Return all pretrainings and imports of a sweep, in the order of the file; duplicates are kept.

    Optional entries whose environment variable isn't set are left out. ``roots`` maps datasets to directories, for
    those whose facts come from their files.

    Raises
    ------
    InputError
        An option is unknown or a value is invalid; the message names file and line.
    """
    return [
        config
        for position, entry in enumerate(sweep.file.pretrain)
        if not is_left_out(entry)
        for config in (
            _expand_import(sweep, position, entry, roots)
            if isinstance(entry, ImportEntry)
            else _expand_entry(sweep, position, entry, roots)
        )
    ]


def expand_evaluations(
    sweep: Sweep, subjects: Sequence[Subject], roots: Mapping[str, Path] = NO_ROOTS
) -> list[Evaluation]:
    """Return all evaluations that the sweep's entries define for these checkpoints; see ``expand_pretraining``.

    Raises
    ------
    InputError
        An option or filter is unknown, or a value is invalid; the message names file and line.
    """
    return [
        evaluation
        for position, entry in enumerate(sweep.file.evaluate)
        for evaluation in _expand_evaluator(sweep, position, entry, subjects, roots)
    ]


def unmatched_filters(sweep: Sweep, subjects: Sequence[Subject], roots: Mapping[str, Path] = NO_ROOTS) -> list[str]:
    """Return one sentence for each filter or value of a filter, also of included sweeps, that changes nothing."""
    idle = idle_filters(sweep, [*map(subject_facts, subjects), *left_out_facts(sweep)])
    parts = (*sweep.groups, *sweep.parts)
    return idle + [line for part in parts for line in unmatched_filters(part, expand_pretraining(part, roots), roots)]


def _expand_entry(
    sweep: Sweep, position: int, entry: PretrainEntry, roots: Mapping[str, Path]
) -> Iterator[PretrainConfig]:
    at = ("pretrain", position)
    written = {key: value for key, value in entry.options.items() if key != "on"}
    for method in _methods(sweep, at, entry):
        fields = {**PretrainConfig.model_fields, **find_method(method).Config.model_fields}
        method_keys = tuple(find_method(method).Config.model_fields)
        allowed = (*PRETRAIN_KEYS, *RUN_OPTIONS, *ALIASES, *method_keys)
        options = _known_options(sweep, at, written, allowed, f"method {method}")
        listed = {key for key, field in fields.items() if _is_list(field.annotation)}
        axes = {key: _axis(sweep, (*at, key), value, key in listed) for key, value in options.items()}
        lists = (entry.backbone, entry.dataset, *axes.values(), entry.seed)
        _require_countable(sweep, at, lists)
        for backbone, dataset, *values, seed in itertools.product(*lists):
            chosen = dict(zip(axes, values, strict=True))
            try:
                yield resolve_pretraining(
                    method=method,
                    backbone=str(backbone),
                    dataset=str(dataset),
                    seed=int(seed),
                    options=chosen,
                    recipe=entry.recipe,
                    roots=roots,
                )
            except INPUT_ERRORS as error:
                raise _locate_error(sweep, at, entry.options, error) from error


def _methods(sweep: Sweep, at: tuple[str | int, ...], entry: PretrainEntry) -> Iterator[str]:
    """Return the entry's methods, on each of the methods that ``on`` lists."""
    if "on" not in entry.options:
        yield from entry.method
        return
    for method, on in itertools.product(entry.method, _axis(sweep, (*at, "on"), entry.options["on"], False)):
        try:
            found = name_on(method, on)
            find_method(found)
        except INPUT_ERRORS as error:
            raise _locate_error(sweep, at, entry.options, error) from error
        yield found


def _expand_import(
    sweep: Sweep, position: int, entry: ImportEntry, roots: Mapping[str, Path]
) -> Iterator[ImportedPretraining]:
    declared = entry.as_
    info = find_format(entry.format).INFO
    name = Path(entry.checkpoint).name
    try:
        source = ImportSource(
            checkpoint=name,
            format=entry.format,
            sha256=entry.sha256,
            weights=entry.weights,
            normalisation=declared.normalisation,
            path=entry.checkpoint,
        )
    except ValidationError as error:
        where = sweep.where("pretrain", position, "sha256")
        raise InputError(f"{where}: sha256: write 64 hexadecimal digits in lower case, not {entry.sha256!r}") from error
    for seed in declared.seed:
        yield imported_pretraining(declared, source, info.title, seed, roots)


def imported_pretraining(
    declared: ImportDeclaration, source: ImportSource, format_title: str, seed: int, roots: Mapping[str, Path]
) -> ImportedPretraining:
    """Return the pretraining that an import declares for its file."""
    return ImportedPretraining(
        method=declared.method,
        backbone=declared.backbone,
        dataset=declared.dataset,
        dataset_version=dataset_info(declared.dataset, roots.get(declared.dataset)).version,
        global_batch_size=declared.global_batch_size,
        epochs=declared.epochs,
        recipe=RecipeReference(
            id=f"imported-{source.format}", version=1, source=f"{source.checkpoint}, {format_title}"
        ),
        seed=seed,
        source=source,
    )


def _expand_evaluator(
    sweep: Sweep, position: int, entry: EvaluateEntry, subjects: Sequence[Subject], roots: Mapping[str, Path]
) -> Iterator[Evaluation]:
    at = ("evaluate", position, entry.evaluator)
    config_class: type[BaseModel] = find_evaluator(entry.evaluator).Config
    keys = [key for key in config_class.model_fields if key not in ("dataset_version", "recipe", "seed")]
    allowed = (*keys, *EVALUATE_KEYS)
    options = _known_options(sweep, at, entry.options, allowed, f"evaluator {entry.evaluator}")
    listed = {key for key, field in config_class.model_fields.items() if _is_list(field.annotation)}
    axes = {key: _axis(sweep, (*at, key), value, key in listed) for key, value in options.items()}
    facts = [subject_facts(subject) for subject in subjects]
    for name, wanted in (("only", entry.only), ("except", entry.except_)):
        check_filter(sweep, (*at, name), wanted, [*facts, *left_out_facts(sweep)])
    _require_countable(sweep, at, (subjects, *axes.values()))
    for subject, known in zip(subjects, facts, strict=True):
        if not matches(known, entry.only) or (entry.except_ and matches(known, entry.except_)):
            continue
        for values in itertools.product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            try:
                config = resolve_evaluation(
                    entry.evaluator, subject=subject, options=chosen, recipe=entry.recipe, roots=roots
                )
            except INPUT_ERRORS as error:
                raise _locate_error(sweep, at, entry.options, error) from error
            yield Evaluation(entry.evaluator, config, subject)


def _known_options(
    sweep: Sweep, at: tuple[str | int, ...], options: Mapping[str, Any], allowed: Sequence[str], whose: str
) -> dict[str, Any]:
    """Return the options with aliases replaced by full names, in the order written."""
    known: dict[str, Any] = {}
    for key, value in options.items():
        if key not in allowed:
            hint = suggest(key, tuple(allowed))
            raise InputError(f"{sweep.where(*at, key)}: unknown key {key!r} for {whose}; {hint}")
        name = ALIASES.get(key, key)
        if name in known:
            other = next(word for word in options if ALIASES.get(word, word) == name)
            raise InputError(f"{sweep.where(*at, key)}: {key!r} is the same setting as {other!r}; write one")
        known[name] = value
    return known


def _axis(sweep: Sweep, at: tuple[str | int, ...], value: Any, is_list_by_nature: bool) -> list[Any]:
    """Return the values that a setting takes in the sweep: the list's items, or a single value."""
    if not isinstance(value, list):
        return [value]
    if not value:
        raise InputError(f"{sweep.where(*at)}: {at[-1]}: an empty list asks for nothing; give at least one value")
    if is_list_by_nature and not all(isinstance(item, list) for item in value):
        return [value]
    written = [repr(item) for item in value]
    for item in written:
        if written.count(item) > 1:
            raise InputError(f"{sweep.where(*at)}: {at[-1]}: {shorten(item)} appears twice; leave one out")
    return value


def _require_countable(sweep: Sweep, at: tuple[str | int, ...], lists: Sequence[Sequence[Any]]) -> None:
    count = math.prod(map(len, lists))
    if count > MOST_RUNS:
        raise InputError(
            f"{sweep.where(*at)}: its lists multiply to {count:.4g} runs; one entry has at most {MOST_RUNS}"
        )


def _is_list(annotation: Any) -> bool:
    """Return whether a field's type is a list or tuple, also inside Optional and Annotated."""
    origin = get_origin(annotation) or annotation
    if origin in (Annotated, Union, UnionType):
        return any(_is_list(part) for part in get_args(annotation))
    return origin in (list, tuple, set, frozenset)


def _locate_error(sweep: Sweep, at: tuple[str | int, ...], options: Mapping[str, Any], error: Exception) -> InputError:
    """Return a resolver's error, prefixed with file and line of the setting it names, or else of the entry."""
    key: tuple[str | int, ...] = getattr(error, "key", ())
    if not key:
        # A plugin's error may have no key; its message then begins with the setting.
        key = (str(error).partition(":")[0],)
    written = next((word for word in options if ALIASES.get(word, word) == key[0]), key[0])
    return InputError(f"{sweep.where(*at, written, *key[1:])}: {error}", key=(*at, written, *key[1:]))

"""Applies the filters ``only`` and ``except`` of evaluations to checkpoints, and finds filters without effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.sweep.errors import InputError
from bench.sweep.file import ALIASES
from bench.sweep.model import Sweep
from pretrain.datasets import module_name
from pretrain.errors import shorten
from pretrain.plugins import plugin_names, suggest
from pretrain.subject import Subject

_FILTER_PACKAGES = {
    "method": "pretrain.methods",
    "backbone": "pretrain.backbones",
    "dataset": "pretrain.datasets",
}


def subject_facts(subject: Subject) -> dict[str, Any]:
    """Return the facts of a checkpoint that filters can match: the scalar settings of its run and method."""
    settings = subject.model_dump(mode="json", exclude={"method_options", "recipe", "dataset_version"})
    facts = {**settings, **subject.method_options, "recipe": subject.recipe.id}
    return {key: value for key, value in facts.items() if not isinstance(value, dict | list)}


def check_filter(
    sweep: Sweep, at: tuple[str | int, ...], wanted: Mapping[str, Any], facts: Sequence[Mapping[str, Any]]
) -> None:
    """Raise ``InputError`` for a filter with a key that no checkpoint has, or a value that none can have."""
    allowed = sorted({key for known in facts for key in known} | set(ALIASES))
    for key, value in wanted.items():
        where, name = sweep.where(*at, key), ALIASES.get(key, key)
        if key not in allowed:
            raise InputError(f"{where}: unknown key {key!r}; {suggest(key, allowed)}")
        if value == []:
            raise InputError(f"{where}: {at[-1]}.{key}: an empty list asks for nothing; give at least one value")
        if isinstance(value, dict):
            raise InputError(f"{where}: {at[-1]}.{key}: write a value or a list of values")
        here = list(dict.fromkeys(known[name] for known in facts if known.get(name) is not None))
        for word in value if isinstance(value, list) else [value]:
            names = plugin_names(_FILTER_PACKAGES[key]) if key in _FILTER_PACKAGES else ()
            # The method of an imported checkpoint may be any word, so also allow words that a checkpoint has.
            known_name = module_name(word) if key == "dataset" and isinstance(word, str) else word
            if names and known_name not in names and word not in here:
                raise InputError(f"{where}: unknown {key} {shorten(repr(word))}; {suggest(str(word), names)}")
            if here and word is not None and _kind(word) not in map(_kind, here):
                known_values = ", ".join(map(str, here[:5]))
                raise InputError(
                    f"{where}: {at[-1]}.{key}: {shorten(repr(word))} is {_kind(word)} and matches no checkpoint; "
                    f"this sweep has {known_values}"
                )


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a switch"
    return "a number" if isinstance(value, int | float) else "a word" if isinstance(value, str) else "a list"


def idle_filters(sweep: Sweep, facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one sentence for each filter or value of a filter that has no effect or leaves no run.

    ``facts`` holds the result of ``subject_facts`` for each checkpoint.
    """
    notes = []
    for position, entry in enumerate(sweep.file.evaluate):
        at = ("evaluate", position, entry.evaluator)
        chosen = [known for known in facts if matches(known, entry.only)]
        excluded = [known for known in chosen if entry.except_ and matches(known, entry.except_)]
        if entry.only and not chosen:
            notes.append(
                f"{sweep.where(*at, 'only')}: only matches no checkpoint of this sweep; no {entry.evaluator} runs"
            )
            continue
        notes += _idle_values(sweep, (*at, "only"), entry.only, facts, "chooses")
        if entry.except_ and len(excluded) == len(chosen):
            notes.append(f"{sweep.where(*at, 'except')}: except matches every checkpoint; no {entry.evaluator} runs")
        elif entry.except_ and not excluded:
            notes.append(
                f"{sweep.where(*at, 'except')}: except matches no checkpoint of this sweep and changes nothing"
            )
        else:
            notes += _idle_values(sweep, (*at, "except"), entry.except_, chosen, "excludes")
    return notes


def _idle_values(
    sweep: Sweep, at: tuple[str | int, ...], wanted: Mapping[str, Any], facts: Sequence[Mapping[str, Any]], verb: str
) -> list[str]:
    """Return one sentence for each value in a filter's list that no checkpoint matches."""
    notes = []
    for key, values in wanted.items():
        for value in values if isinstance(values, list) else []:
            if not any(matches(known, {**wanted, key: value}) for known in facts):
                written = "null" if value is None else shorten(str(value))
                notes.append(f"{sweep.where(*at, key)}: {at[-1]}.{key}: {written} {verb} no checkpoint of this sweep")
    return notes


def matches(facts: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether each key of ``wanted`` is a fact of the checkpoint with one of the wanted values."""
    for key, value in wanted.items():
        name = ALIASES.get(key, key)
        if name not in facts or facts[name] not in (value if isinstance(value, list) else [value]):
            return False
    return True

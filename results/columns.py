"""Declares the columns of a run's row, and names the columns of all other settings in the runs.

Every key of a run's configuration is a column. A key that isn't declared here gets a name of its own:

* an option of a method: its own name, such as ``temperature``;
* another setting of a pretraining: ``pretrain_<key>``, such as ``pretrain_optimizer``;
* an option of an evaluator: ``protocol_<option>``, such as ``protocol_temperature``;
* a further part of the configuration: ``pretrain_<part>``, such as ``pretrain_plugins``.

If the name of an option is, or is easily mistaken for, a column declared here or listed in ``DERIVED``, its column is
``method_option_<option>`` or ``protocol_option_<option>``.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

Row = Mapping[str, Any]


class Role(StrEnum):
    """The kind of information in a column.

    ``IDENTITY`` identifies the run, ``METHOD`` holds the method's settings, ``SCALE`` other settings of the pretraining
    (equal in a comparison of two methods), ``EVALUATION`` settings of the evaluation. ``SUMMARY`` repeats other
    columns, ``RECORD`` is known only when the run is done, ``STATE`` changes during the run, ``RESULT`` differs by
    metric.
    """

    IDENTITY = "identity"
    METHOD = "method"
    SCALE = "scale"
    EVALUATION = "evaluation"
    SUMMARY = "summary"
    RECORD = "record"
    STATE = "state"
    RESULT = "result"


@dataclass(frozen=True)
class Column:
    """A declared column; ``label`` is a format that shows a value in a figure."""

    role: Role
    meaning: str
    kind: Literal["text", "count", "measurement"] = "text"
    label: str = "{}"


COLUMNS: dict[str, Column] = {
    "run_id": Column(Role.IDENTITY, "the run"),
    "stage": Column(Role.IDENTITY, "'pretrain', 'import' or the evaluator's name"),
    "state": Column(
        Role.STATE, "effective state: planned, waiting, running, done, failed, cancelled, unknown or damaged"
    ),
    "reason": Column(Role.STATE, "why a run failed, is damaged or is unknown"),
    "seed": Column(Role.IDENTITY, "seed of the pretraining, which is also the evaluation's", "count"),
    "method": Column(Role.METHOD, "pretraining method"),
    "ablated": Column(Role.SUMMARY, "which of the method's options the sweep set itself, 'none' for the main setting"),
    "backbone": Column(Role.SCALE, "backbone under test"),
    "pretrain_dataset": Column(Role.SCALE, "dataset pretrained on", label="on {}"),
    "pretrain_epochs": Column(Role.SCALE, "epochs of pretraining (P.T.)", "count", "{} epochs"),
    "global_batch_size": Column(
        Role.SCALE, "images per pretraining step, over all processes", "count", label="batch {}"
    ),
    "pretrain_recipe": Column(Role.METHOD, "'id@version', with '*' when the sweep changed some of it"),
    "protocol": Column(Role.EVALUATION, "the evaluator's name; None for a pretraining"),
    "dataset": Column(Role.EVALUATION, "dataset of the evaluation; for a pretraining the one pretrained on"),
    "finetune_epochs": Column(Role.EVALUATION, "epochs of the evaluation (F.T.)", "count", "{} epochs"),
    "schedule": Column(Role.EVALUATION, "named length of a dense evaluation, e.g. '1x'"),
    "protocol_recipe": Column(Role.EVALUATION, "recipe of the evaluation, written as pretrain_recipe"),
    "protocol_changes": Column(
        Role.EVALUATION, "what the sweep set differently from that recipe, as key=value; None when nothing"
    ),
    "metric": Column(Role.RESULT, "name of the metric; None for a run that is not done"),
    "declaration": Column(
        Role.RESULT, "the metric's label, unit, direction and decimals, a results.metrics.Metric; None without a metric"
    ),
    "value": Column(
        Role.RESULT,
        "the metric's value, in the metric's unit; missing if the metric is not defined on the run's data",
        "measurement",
    ),
    "fingerprint": Column(Role.RECORD, "SHA-256 of the data the run saw", label="data {:.6}"),
    "data_differs": Column(
        Role.RECORD, "how the data differ from the published dataset of their name; None if they don't differ"
    ),
    "pretrain_fingerprint": Column(
        Role.RECORD,
        "SHA-256 of the data pretrained on, from the parent's record; None for a pretraining, for untrained or "
        "imported weights, and without that record",
    ),
    "pretrain_data_differs": Column(
        Role.RECORD, "data_differs of the parent; None for a pretraining and without the parent's record"
    ),
    "checkpoint_sha256": Column(Role.RECORD, "checkpoint written by a pretraining, or tested by an evaluation"),
    "images_per_second": Column(Role.RECORD, "throughput", "measurement"),
    "seconds": Column(Role.RECORD, "time over all attempts", "measurement"),
    "device": Column(Role.RECORD, "device name"),
    "git_commit": Column(Role.RECORD, "commit of the code that ran"),
    "setting": Column(
        Role.SUMMARY, "10 hex digits over the whole configuration but the seed: runs that share it are repetitions"
    ),
}
"""Declared columns by name. In a frame, text has dtype object with None, counts Int64, measurements float64."""

DERIVED = frozenset(
    [
        "panel",
        "row",
        "place",
        "variant",
        "side",
        "source",
        "pretraining_data",
        "series",
        "values",
        "option",
        "n",
        "mean",
        "standard_error",
        "deviation",
        "unit",
    ]
)
"""Columns that figures and comparisons add to those of runs; an option of a method can't have these names."""

_DECLARED_KEYS = {
    "pretrain": {"method": "method", "backbone": "backbone", "global_batch_size": "global_batch_size"},
    "evaluator": {"dataset": "dataset", "epochs": "finetune_epochs", "schedule": "schedule"},
}
_SUMMARISED_KEYS = ("seed", "recipe", "method_options")
_PREFIXES = ("pretrain_", "protocol_", "method_option_")


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return column → value for all settings of a configuration but seeds and recipes; containers are JSON text."""
    found: dict[str, Any] = {}
    for part, settings in config.items():
        if part not in _DECLARED_KEYS or not isinstance(settings, dict):
            found[f"pretrain_{part}"] = _plain(settings)
            continue
        names = _DECLARED_KEYS[part]
        for key, value in settings.items():
            if key not in _SUMMARISED_KEYS:
                found[names.get(key) or _setting_column(part, str(key))] = _plain(value)
        options = settings.get("method_options")
        for key, value in options.items() if part == "pretrain" and isinstance(options, dict) else ():
            found[option_column(str(key))] = _plain(value)
    return found


@functools.cache
def _setting_column(part: str, key: str) -> str:
    if part == "pretrain":
        return f"pretrain_{key}"
    clashes = f"protocol_{key}" in COLUMNS or key.startswith("option_")
    return f"protocol_option_{key}" if clashes else f"protocol_{key}"


@functools.cache
def option_column(option: str) -> str:
    """Return the column of a method's option."""
    return f"method_option_{option}" if option.startswith(_PREFIXES) or mistaken_for(option) else option


@functools.cache
def mistaken_for(name: str) -> str | None:
    """Return the declared or derived column that ``name`` is or probably misspells; None for an option's column."""
    if name in DERIVED:
        return name
    if name.startswith(_PREFIXES):
        return name if name in COLUMNS else None
    return next(iter(difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.83)), None)


def _plain(value: Any) -> Any:
    if not isinstance(value, dict | list | tuple):
        return value
    return compact_json(value)


def compact_json(value: Any) -> str:
    """Return JSON text with sorted keys and without spaces; values that JSON lacks are written as text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def sort_key(values: Iterable[Any]) -> tuple[tuple[bool, bool, Any], ...]:
    """Return a key that sorts by the values in turn: None first, then numbers by size, then text."""
    return tuple((value is not None, isinstance(value, str), 0 if value is None else value) for value in values)


def role_of(name: str) -> Role:
    """Return the role of a column, declared or not."""
    if name in COLUMNS:
        return COLUMNS[name].role
    return Role.EVALUATION if name.startswith("protocol_") else Role.METHOD


def declared(*roles: Role) -> tuple[str, ...]:
    """Return the declared columns of these roles, in order."""
    return tuple(name for name, column in COLUMNS.items() if column.role in roles)


def undeclared(names: Iterable[str], *roles: Role) -> tuple[str, ...]:
    """Return those of ``names`` that are undeclared columns with one of these roles, options of methods first."""
    found = {name for name in names if name not in COLUMNS and name not in DERIVED and role_of(name) in roles}
    return tuple(sorted(found, key=lambda name: (name.startswith(_PREFIXES), name)))


def method_options(names: Iterable[str]) -> tuple[str, ...]:
    """Return those of ``names`` that are columns of a method's options."""
    return tuple(name for name in undeclared(names, Role.METHOD) if not name.startswith("pretrain_"))


def label(name: str, value: Any) -> str:
    """Return a value as a figure shows it: ``150 epochs``, or ``temperature 0.2`` for an undeclared column."""
    shown = f"{value:g}" if isinstance(value, float) else value
    if name in COLUMNS:
        return COLUMNS[name].label.format(shown)
    return f"{name.removeprefix('protocol_').replace('_', ' ')} {shown}"


def differing(rows: Sequence[Row]) -> list[str]:
    """Return the columns in which these runs' settings or data differ, without those that follow from others.

    Settings of a pretraining follow from another method, backbone or dataset, options of an evaluator from another
    protocol or dataset or from ``protocol_changes``, and the digest ``setting`` from any other difference. An unknown
    ``pretrain_fingerprint`` differs from no other.
    """
    names: tuple[str, ...] = ("metric", "fingerprint", "pretrain_fingerprint")
    if len({row["setting"] for row in rows}) > 1:
        settings = (Role.METHOD, Role.SCALE, Role.EVALUATION)
        found = undeclared({name for row in rows for name in row}, *settings)
        names = (*declared(*settings), *names, *found, "setting")
    values = {name: {row.get(name) for row in rows} for name in names}
    values["pretrain_fingerprint"].discard(None)
    differ = [name for name in names if len(values[name]) > 1]
    return [name for name in differ if not is_implied(name, differ)]


def is_implied(name: str, differ: Sequence[str]) -> bool:
    """Return whether the difference in a column follows from those in the other columns of ``differ``."""
    if name == "setting":
        return len(differ) > 1
    if name == "pretrain_fingerprint":
        return "pretrain_dataset" in differ
    if name in COLUMNS:
        return False
    causes = ("protocol", "dataset", "protocol_changes")
    if role_of(name) is Role.METHOD:
        causes = ("method", "backbone", "pretrain_dataset")
    return not set(causes).isdisjoint(differ)


def describe_differences(rows: Sequence[Row]) -> str:
    """Describe how these runs differ, such as ``pretrain_epochs 10, 20; temperature None, 0.1``; '' if they agree."""
    return "; ".join(f"{name} {', '.join(shown_values(name, rows))}" for name in differing(rows))


def shown_values(name: str, rows: Sequence[Row]) -> list[str]:
    """Return the different values of a column as short texts; of JSON objects only the keys that differ."""
    values = list(dict.fromkeys(row.get(name) for row in rows))
    objects = [found for value in values if (found := _object(value)) is not None]
    if name not in COLUMNS and len(objects) == len(values):
        keys = dict.fromkeys(key for found in objects for key in found)
        differ = [key for key in keys if any(found.get(key) != objects[0].get(key) for found in objects)]
        values = [", ".join(f"{key} {found.get(key)}" for key in differ) for found in objects]
    return sorted(str(value)[:12] if name.endswith("fingerprint") else str(value) for value in values)


def _object(value: Any) -> dict[str, Any] | None:
    """Return the JSON object that a text holds; None if ``value`` isn't such a text."""
    try:
        found = json.loads(value) if isinstance(value, str) and value.startswith("{") else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None

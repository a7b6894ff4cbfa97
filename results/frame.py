"""Converts runs to one tidy data frame, the input of all tables, figures and comparisons."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from results.columns import COLUMNS, Role, compact_json, declared, option_column, settings_of, undeclared
from results.metrics import Metric
from results.record import NOT_SEEN
from results.runs import RunState
from results.store import Run

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
_LARGEST_COUNT = 2**63 - 1
"""Largest integer of pandas' Int64."""


def to_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """Return one row per (run, metric) for done runs, one row with metric None for every other run."""
    return rows_to_frame(to_rows(runs))


def to_rows(runs: Iterable[Run]) -> list[Row]:
    """Return the rows of ``to_frame`` as dictionaries, without pandas.

    Each has all declared columns, None where a value is missing, and those further columns that its run has.
    """
    return [row for run in runs for row in expand({**describe_setting(run), **describe_own(run)}, run)]


def rows_to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Convert rows of ``to_rows`` to a frame: the declared columns, then those that the runs have besides."""
    import pandas as pd

    further = undeclared({name for row in rows for name in row}, *Role)
    data = {column: [row.get(column) for row in rows] for column in (*COLUMNS, *further)}
    return pd.DataFrame(
        {column: pd.Series(values, dtype=_dtype(column, values)) for column, values in data.items()},
        columns=list(data),
    )


def records(frame: pd.DataFrame) -> list[Row]:
    """Return the frame's rows as dictionaries; missing values are None."""
    plain = frame.astype(object).where(frame.notna(), None)
    names = [str(name) for name in plain.columns]
    values = zip(*(plain[name].tolist() for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in values]


def describe_setting(run: Run) -> Row:
    """Return the columns with a value that follow from a run's stage and configuration without its seed."""
    pretrain, evaluator = _part(run.config, "pretrain"), _part(run.config, "evaluator")
    found = {
        **settings_of(run.config),
        "stage": run.stage,
        "ablated": _ablated(pretrain),
        "pretrain_recipe": recipe_label(_part(pretrain, "recipe")),
        "protocol": run.stage if evaluator else None,
        "dataset": evaluator.get("dataset", pretrain.get("dataset")),
        "protocol_recipe": recipe_label(_part(evaluator, "recipe")),
        "protocol_changes": _changes(evaluator),
        "setting": _setting(run),
    }
    return {column: _clean(column, value) for column, value in found.items() if value is not None}


def describe_own(run: Run) -> Row:
    """Return a run's id, seed and the columns that come from its record."""
    pretrain, evaluator = _part(run.config, "pretrain"), _part(run.config, "evaluator")
    found = {"run_id": run.run_id, "seed": evaluator.get("seed", pretrain.get("seed")), **_measure(run)}
    return {column: _clean(column, found.get(column)) for column in OWN_COLUMNS}


_PARENT_COLUMNS = ("pretrain_fingerprint", "pretrain_data_differs")
OWN_COLUMNS = ("run_id", "seed", *(name for name in declared(Role.RECORD) if name not in _PARENT_COLUMNS))
"""Columns from a run's own files that repetitions of one setting don't share, and that depend on no metric."""


Measured = Mapping[str, tuple[Metric, float | None]]
"""Metric → declaration and value."""


def measured(run: Run) -> Measured:
    """Return the metrics of a run's record; empty without one."""
    if run.record is None:
        return {}
    return {name: (metric, run.record.metrics[name]) for name, metric in run.record.declared().items()}


def expand(described: Row, run: Run, metrics: Measured | None = None) -> Iterator[Row]:
    """Yield one row per metric of a done run; for any other run, yield one row without a metric.

    Parameters
    ----------
    described
        The columns of ``describe_setting`` and ``describe_own``.
    metrics
        The run's metrics; those of its record by default. A damaged run's record is ignored.
    """
    if metrics is None:
        metrics = measured(run)
    shared = {**_MISSING, **described, **_of_parent(described, run), "state": run.state.value, "reason": run.reason}
    if run.state is not RunState.DONE:
        metrics, shared = {}, {**shared, **dict.fromkeys(declared(Role.RECORD))}
    if not metrics:
        yield shared
    for name, (declaration, value) in metrics.items():
        yield {**shared, "metric": name, "declaration": declaration, "value": value}


_MISSING = dict.fromkeys(COLUMNS)


def _of_parent(described: Row, run: Run) -> dict[str, str | None]:
    fingerprint, differs = run.parent_data
    # Nothing was learnt from the data of an untrained network: only its seed determines the weights.
    if fingerprint == NOT_SEEN or described.get("pretrain_epochs") == 0:
        fingerprint = None
    return dict(zip(_PARENT_COLUMNS, (fingerprint, differs), strict=True))


def _clean(column: str, value: Any) -> Any:
    """Return ``value``, or None for a count that is no count: one odd record must not make the frame fail."""
    is_count = column in COLUMNS and COLUMNS[column].kind == "count"
    return None if is_count and not _fits(value) else value


def _fits(value: Any) -> bool:
    return isinstance(value, int) and abs(value) <= _LARGEST_COUNT


def _dtype(column: str, values: Sequence[Any]) -> str:
    if column in COLUMNS:
        return {"count": "Int64", "measurement": "float64", "text": "object"}[COLUMNS[column].kind]
    found = [value for value in values if value is not None]
    kinds = {type(value) for value in found}
    if kinds == {int} and all(map(_fits, found)):
        return "Int64"
    return "float64" if kinds == {float} or kinds == {int, float} else "object"


def _measure(run: Run) -> dict[str, Any]:
    """Return the columns that come from the run's record; empty without one."""
    record = run.record
    if record is None:
        return {}
    tested = [parent.checkpoint_sha256 for parent in record.parents]
    written = [checkpoint.sha256 for checkpoint in record.checkpoints if checkpoint.role == "backbone"]
    return {
        "fingerprint": record.dataset.fingerprint,
        "data_differs": record.dataset.differs,
        "checkpoint_sha256": next(iter(tested or written), None),
        "images_per_second": record.images_per_second,
        "seconds": record.timing.seconds,
        "device": record.machine.device,
        "git_commit": record.software.git_commit,
    }


def _part(config: dict[str, Any], name: str) -> dict[str, Any]:
    part = config.get(name)
    return part if isinstance(part, dict) else {}


def recipe_label(recipe: dict[str, Any]) -> str | None:
    """Return ``id@version``, followed by ``*`` if the sweep changed some of the recipe's settings."""
    if not recipe:
        return None
    return f"{recipe.get('id')}@{recipe.get('version')}{'*' if recipe.get('changed') else ''}"


def _changes(part: dict[str, Any]) -> str | None:
    """Return the settings that the sweep changed in the recipe, such as ``epochs=3; optimizer={"name":"sgd"}``."""
    changed = _part(part, "recipe").get("changed") or ()
    return "; ".join(f"{key}={compact_json(part.get(key))}" for key in changed) or None


def _ablated(pretrain: dict[str, Any]) -> str:
    changed, options = _part(pretrain, "recipe").get("changed") or (), _part(pretrain, "method_options")
    return ", ".join(sorted(option_column(name) for name in options if name in changed)) or "none"


def _setting(run: Run) -> str:
    parts = {
        name: {key: value for key, value in part.items() if key != "seed"}
        for name, part in run.config.items()
        if isinstance(part, dict)
    }
    return hashlib.sha256(compact_json({"stage": run.stage, **parts}).encode()).hexdigest()[:10]

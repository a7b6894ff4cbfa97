"""Converts runs to one tidy data frame, the input of all tables, figures and comparisons."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from results.metrics import Metric
from results.runs import RunState
from results.store import Run

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: dict[str, str] = {
    "run_id": "the run",
    "stage": "'pretrain', 'import' or the evaluator's name",
    "state": "effective state: planned, waiting, running, done, failed, cancelled, unknown or damaged",
    "reason": "why a run failed, is damaged or is unknown",
    "seed": "seed of the pretraining, which is also the evaluation's",
    "method": "pretraining method",
    "preset": "named set of the method's settings, e.g. 'official' or 'paper'",
    "arrangement": "where OPERA's class head sits: A, B or C",
    "mlp_layers": "fully connected layers of the class head",
    "embedding_dimension": "output width of the projector",
    "hidden_dimension": "hidden width of the class head",
    "ablated": "which of the method's options above the sweep set itself, 'none' for the main setting",
    "backbone": "backbone under test",
    "global_batch_size": "images per pretraining step, over all processes",
    "pretrain_epochs": "epochs of pretraining (P.T.)",
    "pretrain_dataset": "dataset pretrained on",
    "pretrain_recipe": "'id@version', with '*' when the sweep changed some of it",
    "protocol": "the evaluator's name; None for a pretraining",
    "dataset": "dataset of the evaluation; for a pretraining the one pretrained on",
    "finetune_epochs": "epochs of the evaluation (F.T.)",
    "schedule": "named length of a dense evaluation, e.g. '1x'",
    "protocol_recipe": "recipe of the evaluation, written as pretrain_recipe",
    "protocol_changes": "what the sweep set differently from that recipe, as key=value; None when nothing",
    "metric": "name of a metric in the record; None for a run that is not done",
    "declaration": "the metric's label, unit, direction and decimals, a results.metrics.Metric; None without a metric",
    "value": "the metric's value, in the metric's unit; missing if the metric is not defined on the run's data",
    "fingerprint": "SHA-256 of the data the run saw",
    "data_differs": "how that is another set than the published one of its name; None where it is that one",
    "checkpoint_sha256": "checkpoint written by a pretraining, or tested by an evaluation",
    "images_per_second": "throughput",
    "seconds": "time over all attempts",
    "device": "device name",
    "git_commit": "commit of the code that ran",
    "setting": "10 hex digits over the whole configuration but the seed: runs that share it are repetitions",
}
"""Column → meaning. Text columns have dtype object with None, counts Int64, measurements float64."""

OF_THE_MOMENT = ("state", "reason", "metric", "declaration", "value")
"""Columns that ``expand`` fills and ``describe`` doesn't: they depend on the run's state or differ by metric."""

_FROM_RECORDS = (
    *("fingerprint", "data_differs", "checkpoint_sha256"),
    *("images_per_second", "seconds", "device", "git_commit"),
)

Row = dict[str, Any]
_COUNTS = (
    "seed",
    "mlp_layers",
    "embedding_dimension",
    "hidden_dimension",
    "global_batch_size",
    "pretrain_epochs",
    "finetune_epochs",
)
_MEASUREMENTS = ("value", "images_per_second", "seconds")
_METHOD_OPTIONS = ("preset", "arrangement", "mlp_layers", "embedding_dimension", "hidden_dimension")


def to_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """One row per (run, metric) for done runs, one row with metric None for every other run."""
    return rows_to_frame(to_rows(runs))


def to_rows(runs: Iterable[Run]) -> list[Row]:
    """The rows of ``to_frame`` as dictionaries with every column, without pandas; missing values are None."""
    return [row for run in runs for row in expand(describe(run), run)]


def rows_to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Convert rows of ``to_rows`` to a frame."""
    import pandas as pd

    data = {column: [row[column] for row in rows] for column in COLUMNS}
    return pd.DataFrame(
        {column: pd.Series(values, dtype=_dtype(column)) for column, values in data.items()},
        columns=list(COLUMNS),
    )


def describe(run: Run) -> Row:
    """The columns that depend only on a run's own configuration and record, not on its parents' states."""
    found = {**_describe(run), **_measure(run)}
    return {column: _clean(column, found.get(column)) for column in COLUMNS if column not in OF_THE_MOMENT}


Measured = Mapping[str, tuple[Metric, float | None]]
"""Metric → declaration and value."""


def measured(run: Run) -> Measured:
    """The metrics of a run's record; empty without one."""
    if run.record is None:
        return {}
    return {name: (metric, run.record.metrics[name]) for name, metric in run.record.declared().items()}


def expand(described: Row, run: Run, metrics: Measured | None = None) -> Iterator[Row]:
    """Yield one row per metric of a done run; for any other run, yield one row without a metric.

    If ``metrics`` is None, the metrics are those of the run's record. A damaged run's record is ignored.
    """
    if metrics is None:
        metrics = measured(run)
    if run.state is not RunState.DONE:
        metrics, described = {}, {**described, **dict.fromkeys(_FROM_RECORDS)}
    of_run = {**described, "state": run.state.value, "reason": run.reason}
    if not metrics:
        yield {**of_run, "metric": None, "declaration": None, "value": None}
    for name, (declaration, value) in metrics.items():
        yield {**of_run, "metric": name, "declaration": declaration, "value": value}


def _clean(column: str, value: Any) -> Any:
    """``value``, or None for a count that is not an integer: one odd record must not make the frame fail."""
    return None if column in _COUNTS and not isinstance(value, int) else value


def _dtype(column: str) -> str:
    if column in _COUNTS:
        return "Int64"
    return "float64" if column in _MEASUREMENTS else "object"


def _describe(run: Run) -> dict[str, Any]:
    """The columns that come from the run's configuration."""
    pretrain = _part(run.config, "pretrain")
    evaluator = _part(run.config, "evaluator")
    options = _part(pretrain, "method_options")
    return {
        "run_id": run.run_id,
        "stage": run.stage,
        "seed": evaluator.get("seed", pretrain.get("seed")),
        "method": pretrain.get("method"),
        **{name: options.get(name) for name in _METHOD_OPTIONS},
        "ablated": _ablated(_part(pretrain, "recipe")),
        "backbone": pretrain.get("backbone"),
        "global_batch_size": pretrain.get("global_batch_size"),
        "pretrain_epochs": pretrain.get("epochs"),
        "pretrain_dataset": pretrain.get("dataset"),
        "pretrain_recipe": recipe_label(_part(pretrain, "recipe")),
        "protocol": run.stage if evaluator else None,
        "dataset": evaluator.get("dataset", pretrain.get("dataset")),
        "finetune_epochs": evaluator.get("epochs"),
        "schedule": evaluator.get("schedule"),
        "protocol_recipe": recipe_label(_part(evaluator, "recipe")),
        "protocol_changes": _changes(evaluator),
        "setting": _setting(run),
    }


def _measure(run: Run) -> dict[str, Any]:
    """The columns that come from the run's record; empty without one."""
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
    """``id@version``, followed by ``*`` if the sweep changed some of the recipe's settings."""
    if not recipe:
        return None
    return f"{recipe.get('id')}@{recipe.get('version')}{'*' if recipe.get('changed') else ''}"


def _changes(part: dict[str, Any]) -> str | None:
    """The settings that the sweep changed in the recipe, such as ``epochs=3; optimizer={"name":"sgd"}``."""
    changed = _part(part, "recipe").get("changed") or ()
    told = [f"{key}={json.dumps(part.get(key), sort_keys=True, separators=(',', ':'), default=str)}" for key in changed]
    return "; ".join(told) or None


def _ablated(recipe: dict[str, Any]) -> str:
    changed = recipe.get("changed") or ()
    return ", ".join(name for name in _METHOD_OPTIONS if name in changed) or "none"


def _setting(run: Run) -> str:
    parts = {
        name: {key: value for key, value in part.items() if key != "seed"}
        for name, part in run.config.items()
        if isinstance(part, dict)
    }
    canonical = json.dumps({"stage": run.stage, **parts}, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]

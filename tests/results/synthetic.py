"""Run directories made of whole cloth, for every test that reads runs.

    config = evaluation(pretraining("opera", seed=1), "linear")
    run_id = write_run(runs, config, metrics={"top1": 97.0})

``pretraining`` and ``evaluation`` give configurations of the shape that planning writes, ``write_run`` lays a run
directory out in the state asked for. Nothing depends on the clock but the heartbeat of a running run.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from evaluators.lookup import evaluator_names, find_evaluator
from pretrain.hierarchy import ClassLabels
from pretrain.metrics import PRETRAINING, Metric, declarations
from results.identity import run_id
from results.metrics import Metric as RecordedMetric
from results.record import (
    CheckpointReference,
    DatasetReference,
    Machine,
    ParentReference,
    Record,
    Software,
    Timing,
    record_text,
)
from results.record import RecipeReference as RecordedRecipe
from results.runs import STALE_AFTER_SECONDS, RunDirectory

Config = dict[str, Any]

FINGERPRINT = hashlib.sha256(b"the data").hexdigest()
CHECKPOINT = hashlib.sha256(b"the weights").hexdigest()
HEADER = hashlib.sha256(b"what the weights are").hexdigest()
STARTED = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
OPERA_OPTIONS = {
    "preset": "official",
    "arrangement": "C",
    "mlp_layers": 2,
    "embedding_dimension": 256,
    "hidden_dimension": 256,
}


def recipe(recipe_id: str, version: int = 1, changed: Sequence[str] = ()) -> dict[str, Any]:
    return {"id": recipe_id, "version": version, "source": "made up", "changed": list(changed)}


def pretraining(
    method: str = "opera",
    backbone: str = "tiny_vit",
    *,
    seed: int = 0,
    dataset: str = "digits",
    epochs: int = 10,
    global_batch_size: int = 128,
    recipe_id: str = "tiny",
    version: int = 1,
    changed: Sequence[str] = (),
    **method_options: Any,
) -> Config:
    """``{pretrain: …}``; OPERA has its main settings unless ``method_options`` say otherwise, others have none."""
    options = {**(OPERA_OPTIONS if method == "opera" else {}), **method_options}
    return {
        "pretrain": {
            "method": method,
            "method_options": options,
            "backbone": backbone,
            "dataset": dataset,
            "dataset_version": "1",
            "image_size": 32,
            "global_batch_size": global_batch_size,
            "epochs": epochs,
            "recipe": recipe(recipe_id, version, changed),
            "seed": seed,
        }
    }


def _judged_on(protocol: str, pretrained_on: str) -> str:
    return "mnist5k" if (protocol, pretrained_on) == ("transfer", "digits") else pretrained_on


def evaluation(
    subject: Config,
    protocol: str = "linear",
    *,
    dataset: str | None = None,
    epochs: int = 5,
    recipe_id: str | None = None,
    version: int = 1,
    changed: Sequence[str] = (),
    **options: Any,
) -> Config:
    """``{evaluator: …, pretrain: …}``. The dataset is the subject's, or ``mnist5k`` for transfer from digits.

    The protocol's name travels as the key ``protocol`` beside the two, for ``write_run``, and is not written.
    """
    pretrain = subject["pretrain"]
    return {
        "protocol": protocol,
        "evaluator": {
            "dataset": dataset or _judged_on(protocol, pretrain["dataset"]),
            "dataset_version": "1",
            "epochs": epochs,
            "recipe": recipe(recipe_id or f"{protocol}-tiny", version, changed),
            "seed": pretrain["seed"],
            **options,
        },
        "pretrain": pretrain,
    }


def run_id_of(config: Config, parents: Sequence[str] = ()) -> str:
    """The id that planning gives; parents may be made up."""
    return run_id(config.get("protocol", "pretrain"), without_protocol(config), parents)


def without_protocol(config: Config) -> Config:
    return {name: part for name, part in config.items() if name != "protocol"}


def make_record(
    config: Config,
    metrics: Mapping[str, float | None],
    *,
    parents: Sequence[str] = (),
    fingerprint: str = FINGERPRINT,
    differs: str | None = None,
    images_per_second: float = 1000.0,
    seconds: float = 12.5,
    declared: Sequence[Metric] | None = None,
) -> Record:
    """A record of ``config``; ``declared`` are the metrics of the evaluator, those of the shipped one by default."""
    stage = config.get("protocol", "pretrain")
    part: Config = config["evaluator"] if "evaluator" in config else config["pretrain"]
    written = CheckpointReference(
        role="backbone", path="checkpoints/backbone.safetensors", sha256=CHECKPOINT, header_sha256=HEADER
    )
    return Record(
        run_id=run_id_of(config, parents),
        stage=stage,
        config=without_protocol(config),
        recipe=RecordedRecipe.model_validate(part["recipe"]),
        parents=tuple(ParentReference(run_id=p, checkpoint_sha256=CHECKPOINT, header_sha256=HEADER) for p in parents),
        dataset=DatasetReference(
            name=part["dataset"],
            version="1",
            sizes={"train": 100, "val": 50},
            fingerprint=fingerprint,
            differs=differs,
        ),
        metrics=dict(metrics),
        declarations=_declarations(_declared(stage) if declared is None else declared, metrics),
        seed=part["seed"],
        attempts=1,
        timing=Timing(started_at=STARTED, finished_at=STARTED + timedelta(seconds=seconds), seconds=seconds),
        machine=Machine(host="somewhere", device="cpu", device_kind="cpu", world_size=1, peak_memory_bytes=1),
        software=Software(git_commit="0" * 40, git_dirty=False, packages={"torch": "2.14.0"}),
        images_per_second=images_per_second,
        checkpoints=() if "evaluator" in config else (written,),
    )


def _declared(stage: str) -> Sequence[Metric]:
    return find_evaluator(stage).METRICS if stage in evaluator_names() else (*PRETRAINING, *ClassLabels.METRICS)


def _declarations(declared: Sequence[Metric], metrics: Mapping[str, float | None]) -> dict[str, RecordedMetric]:
    kept = [field.name for field in fields(RecordedMetric)]
    found = declarations(declared, metrics)
    return {name: RecordedMetric(**{field: getattr(metric, field) for field in kept}) for name, metric in found.items()}


def write_run(
    runs_directory: Path,
    config: Config,
    *,
    state: str = "done",
    metrics: Mapping[str, float | None] | None = None,
    parents: Sequence[str] = (),
    error: str = "loss is nan at step 7",
    progress: Sequence[Mapping[str, float]] = (),
    **record_fields: Any,
) -> str:
    """Write one run directory and answer its id.

    Parameters
    ----------
    state
        ``planned``, ``running``, ``unknown``, ``done``, ``failed`` or ``cancelled``; waiting follows from parents.
    metrics
        Of a done run; ``{"top1": 90.0}`` by default.
    error
        What a failed run says.
    progress
        Rows of ``progress.jsonl``.
    record_fields
        ``fingerprint``, ``differs``, ``images_per_second``, ``seconds``, ``declared``.
    """
    name = run_id_of(config, parents)
    directory = RunDirectory(runs_directory / name)
    directory.path.mkdir(parents=True)
    stage = config.get("protocol", "pretrain")
    planned = {"run_id": name, "stage": stage, "parents": list(parents), "config": without_protocol(config)}
    directory.config.write_text(yaml.safe_dump(planned), encoding="utf-8")
    if progress:
        directory.progress.write_text("".join(json.dumps(row) + "\n" for row in progress), encoding="utf-8")
    if state == "done":
        record = make_record(config, {"top1": 90.0} if metrics is None else metrics, parents=parents, **record_fields)
        directory.record.write_text(record_text(record), encoding="utf-8")
    elif state == "failed":
        failure = {"error": error, "traceback": f"Traceback …\n{error}", "attempt": 1}
        directory.failure.write_text(json.dumps(failure), encoding="utf-8")
    elif state == "cancelled":
        directory.cancelled.write_text("{}", encoding="utf-8")
    elif state in ("running", "unknown"):
        directory.attempts.write_text(json.dumps({"attempt": 1, "host": "elsewhere", "pid": 1}) + "\n")
        if state == "unknown":
            long_ago = time.time() - 10 * STALE_AFTER_SECONDS
            os.utime(directory.attempts, (long_ago, long_ago))
    elif state != "planned":
        raise ValueError(f"no run is written {state}")
    return name

"""What a job does: claim a run, compute it, leave its record.

Executors import this module once and fork every job from there, so it pulls in what every job needs. It runs no
tensor operation at import: a forked process must not inherit torch's threads.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from bench.attempt import Attempt, begin_attempt, heartbeat
from bench.plan import PRETRAIN
from bench.provenance import artifact_hashes, dataset_reference, machine, software
from bench.stages import Resources, run_evaluation, run_pretraining
from pretrain.engine import discard_training_state
from results.record import RecipeReference, Record, Timing
from results.runs import RunDirectory, write_atomically

for _heavy in ("timm", "torch.utils.tensorboard", "torchmetrics", "torchvision"):
    import_module(_heavy)

CLAIM_PAUSE_SECONDS = 0.5


def execute(run_directory: str, device: str, num_workers: int, data_roots: dict[str, str]) -> None:
    """Carry one planned run to its record; a run that has one is left alone.

    Parameters
    ----------
    run_directory
        ``runs/<run_id>`` with its ``config.yaml``; parents lie beside it.
    device
        A torch device, or ``auto``: CUDA where there is one.
    num_workers
        Processes that load data.
    data_roots
        Directory by dataset name.

    Raises
    ------
    RuntimeError
        The run failed in another process that was computing it at the same time.
    """
    run = RunDirectory(Path(run_directory))
    with _claimed(run):
        if run.record.exists():
            return
        attempt = begin_attempt(run)
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        try:
            with heartbeat(run):
                record = _compute(run, attempt, _device(device), num_workers, data_roots)
            write_atomically(run.record, record.model_dump_json(indent=2) + "\n")
        except Exception as error:
            failure = {
                "error": f"{type(error).__name__}: {error}",
                "traceback": traceback.format_exc(),
                "attempt": attempt.number,
            }
            write_atomically(run.failure, json.dumps(failure, indent=2) + "\n")
            raise
        discard_training_state(run.path)


@contextlib.contextmanager
def _claimed(run: RunDirectory) -> Iterator[None]:
    """Hold the run. Where another process computes it, wait for its end: what it leaves is as good as ours."""
    waited = False
    while True:
        with run.claim() as free:
            if free:
                if waited and run.failure.exists():
                    raise RuntimeError(f"{run.run_id} failed in another process, see {run.failure}")
                yield
                return
        if not waited:
            print(f"{run.run_id} is being computed by another process; waiting for it", flush=True)
        waited = True
        time.sleep(CLAIM_PAUSE_SECONDS)


def _compute(run: RunDirectory, attempt: Attempt, device: str, num_workers: int, data_roots: dict[str, str]) -> Record:
    planned = run.read_config()
    stage: str = planned["stage"]
    config: dict[str, Any] = planned["config"]
    settings = config["evaluator"] if stage != PRETRAIN else config[PRETRAIN]
    root = data_roots.get(settings["dataset"])
    data_root = None if root is None else Path(root)
    dataset = dataset_reference(settings["dataset"], data_root)
    code = software()
    resources = Resources(device, num_workers, data_root)
    if stage == PRETRAIN:
        outcome = run_pretraining(run, config, resources)
    else:
        outcome = run_evaluation(run, stage, config, planned["parents"], resources)
    finished_at = datetime.now(UTC)
    return Record(
        run_id=run.run_id,
        stage=stage,
        config=config,
        recipe=RecipeReference.model_validate(settings["recipe"]),
        parents=outcome.parents,
        dataset=dataset,
        metrics=dict(outcome.metrics),
        seed=settings["seed"],
        attempts=attempt.number,
        timing=Timing(
            started_at=attempt.first_started_at,
            finished_at=finished_at,
            seconds=attempt.seconds_before + (finished_at - attempt.started_at).total_seconds(),
        ),
        machine=machine(device, outcome.world_size),
        software=code,
        images_per_second=outcome.images_per_second,
        checkpoints=outcome.checkpoints,
        artifacts=artifact_hashes(run.artifacts),
    )


def _device(asked: str) -> str:
    if asked != "auto":
        return asked
    return "cuda:0" if torch.cuda.is_available() else "cpu"

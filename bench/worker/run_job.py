"""Executes a job: claims a run, computes it and writes its record.

Importing this module runs no tensor operation: the local executor forks jobs from a process that has imported it
(``bench.worker.preloaded``), and a forked process must not inherit torch's threads.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from bench.plan.distributions import require_same_plugins
from bench.plan.graph import IMPORT, PRETRAIN
from bench.runs.ends import is_disk_error, note_failure
from bench.worker.attempt import Attempt, begin_attempt, heartbeat
from bench.worker.provenance import (
    artifact_hashes,
    dataset_reference,
    imported_reference,
    machine,
    per_class_values,
    software,
)
from bench.worker.stages import Outcome, Resources, run_evaluation, run_import, run_pretraining
from pretrain import metrics
from pretrain.compute import ComputeOptions
from pretrain.datasets import opening_once
from pretrain.distributed import ForeignProcessError, agreed, get_rank, is_loss_of_a_peer, process_group
from pretrain.engine import discard_training_state
from pretrain.errors import InputError, StoppedEarly
from pretrain.plugin_source import forget_sources
from results.metrics import Metric
from results.record import DatasetReference, RecipeReference, Record, Software, Timing, record_text
from results.runs import RunDirectory, write_atomically
from slurm.job import PeerLost, Stopped, stop_requested

CLAIM_PAUSE_SECONDS = 0.5


def execute(
    run_directory: str,
    device: str,
    num_workers: int,
    data_roots: dict[str, str],
    source: str | None = None,
    compute: dict[str, Any] | None = None,
) -> None:
    """Compute a planned run and write its record; does nothing if the run has a record.

    Parameters
    ----------
    run_directory
        ``runs/<run_id>`` with its ``config.yaml``, beside the parents' directories.
    device
        A torch device, or ``auto``: CUDA if available, else the processor.
    num_workers
        Number of loader workers.
    data_roots
        Dataset name → directory.
    source
        Path of the checkpoint that an import reads.
    compute
        Fields of ``ComputeOptions``.

    Raises
    ------
    RuntimeError
        The run failed in another process that was computing it at the same time.
    Stopped
        The run was asked to stop; a later attempt continues from its saved state.
    """
    run = RunDirectory(Path(run_directory))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    where = _device(device)
    with _join_group(run, where), _claim_or_wait(run) if get_rank() == 0 else contextlib.nullcontext():
        try:
            done = agreed(run.record.exists(), torch.device(where))
        except Exception as error:
            if is_loss_of_a_peer(error):  # the other process was stopped while it waited for the run
                raise PeerLost(f"{run.run_id}: another process went away: {error}") from error
            raise
        if done:
            return
        resources = Resources(where, num_workers, None, ComputeOptions(**(compute or {})), stop_requested)
        _attempt(run, resources, data_roots, source)


@contextlib.contextmanager
def _join_group(run: RunDirectory, device: str) -> Iterator[None]:
    """Join the process group of the run's job; if this fails, note the reason as the run's failure."""
    group = process_group(torch.device(device), f"{run.run_id}, {_launch_name()}")
    try:
        group.__enter__()
    except (ForeignProcessError, TimeoutError) as error:
        note_failure(run, f"{type(error).__name__}: {error}", traceback.format_exc(), is_interrupted=False)
        raise
    with contextlib.ExitStack() as stack:
        stack.push(group)
        yield


def _launch_name() -> str:
    """Return a name that only processes started together share: the executor's, or torchrun's id and restart count."""
    names = ("PROCESS_GROUP_NAME", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")
    group_name, torchrun_id, restarts = (os.environ.get(name) for name in names)
    return group_name or f"torchrun {torchrun_id}, start {restarts}"


def _attempt(run: RunDirectory, resources: Resources, data_roots: dict[str, str], source: str | None) -> None:
    """Compute a run and write its record. Only rank 0 writes attempts and record; any rank may write the failure."""
    attempt = begin_attempt(run) if get_rank() == 0 else None
    try:
        with contextlib.nullcontext() if attempt is None else heartbeat(run), opening_once():
            computed = _compute(run, resources, data_roots, source)
        forget_sources()
        require_same_plugins(run.run_id, computed.stage, computed.config)  # late imports may have read newer code
        if attempt is not None:
            record = _record(run, attempt, computed, resources)
            write_atomically(run.record, record_text(record))
            discard_training_state(run.path)
    except StoppedEarly as stopped:
        raise Stopped(f"{run.run_id}: {stopped}", progressed=stopped.progressed) from stopped
    except Exception as error:
        if is_loss_of_a_peer(error):
            raise PeerLost(f"{run.run_id}: another process went away: {error}") from error
        text, is_interrupted = f"{type(error).__name__}: {error}", is_disk_error(error)
        if run.record.exists():  # the run is done; only its training state could not be removed
            raise
        note_failure(run, text, traceback.format_exc(), is_interrupted=is_interrupted)
        if is_interrupted:
            print(f"{run.run_id}: interrupted; free some space on the disk, then repeat the command", flush=True)
        raise


@contextlib.contextmanager
def _claim_or_wait(run: RunDirectory) -> Iterator[None]:
    """Lock the run; if another process computes it, wait for that process, whose record then counts.

    Raises
    ------
    RuntimeError
        The run failed in the other process.
    Stopped
        This process was asked to stop while waiting.
    """
    waited = False
    while True:
        with run.claim() as free:
            if free:
                if waited and run.failure.exists():
                    raise RuntimeError(f"{run.run_id} failed in another process, see {run.failure}")
                yield
                return
        if stop_requested():
            raise Stopped(f"{run.run_id}: stopped while another process computes it")
        if not waited:
            print(f"{run.run_id} is being computed by another process; waiting for it", flush=True)
        waited = True
        time.sleep(CLAIM_PAUSE_SECONDS)


@dataclass(frozen=True)
class _Computed:
    """A computed run. ``settings`` is its stage's part of ``config``; ``code`` is the software at the run's start."""

    stage: str
    config: dict[str, Any]
    settings: dict[str, Any]
    dataset: DatasetReference
    code: Software
    outcome: Outcome


def _compute(run: RunDirectory, resources: Resources, data_roots: dict[str, str], source: str | None) -> _Computed:
    planned = run.read_config()
    stage: str = planned["stage"]
    config: dict[str, Any] = planned["config"]
    require_same_plugins(run.run_id, stage, config)
    settings = config[PRETRAIN] if stage in (PRETRAIN, IMPORT) else config["evaluator"]
    root = data_roots.get(settings["dataset"])
    data_root = None if root is None else Path(root)
    dataset = imported_reference(settings) if stage == IMPORT else dataset_reference(settings["dataset"], data_root)
    if dataset.version != settings["dataset_version"]:
        raise InputError(
            f"{run.run_id} was planned with other files in {data_root}: the names, sizes or classes of its images have "
            "changed since; run the sweep again to plan it anew"
        )
    if get_rank() == 0 and dataset.differs:
        print(f"{dataset.differs}; don't compare with published numbers", flush=True)
    code = software()
    resources = replace(resources, data_root=data_root)
    if stage == PRETRAIN:
        outcome = run_pretraining(run, config, resources)
    elif stage == IMPORT:
        # Only rank 0 writes the imported checkpoint.
        outcome = run_import(run, config, source) if get_rank() == 0 else Outcome(metrics={})
    else:
        outcome = run_evaluation(run, stage, config, planned["parents"], resources)
    return _Computed(stage, config, settings, dataset, code, outcome)


def _record(run: RunDirectory, attempt: Attempt, computed: _Computed, resources: Resources) -> Record:
    settings, outcome = computed.settings, computed.outcome
    finished_at = datetime.now(UTC)
    return Record(
        run_id=run.run_id,
        stage=computed.stage,
        config=computed.config,
        recipe=RecipeReference.model_validate(settings["recipe"]),
        parents=outcome.parents,
        dataset=computed.dataset,
        metrics=dict(outcome.metrics),
        declarations={name: _declaration(metric) for name, metric in outcome.declarations.items()},
        seed=settings["seed"],
        attempts=attempt.number,
        timing=Timing(
            started_at=attempt.first_started_at,
            finished_at=finished_at,
            seconds=attempt.seconds_before + (finished_at - attempt.started_at).total_seconds(),
        ),
        machine=machine(resources.device, outcome.world_size),
        software=computed.code,
        compute=_compute_options(resources.compute, outcome) if computed.stage == PRETRAIN else {},
        images_per_second=outcome.images_per_second,
        checkpoints=outcome.checkpoints,
        artifacts=artifact_hashes(run.artifacts),
        per_class=per_class_values(run.artifacts),
    )


def _declaration(metric: metrics.Metric) -> Metric:
    """Return a declaration as records keep it, with the metric's concrete name."""
    return Metric(**{field.name: getattr(metric, field.name) for field in fields(Metric)})


def _compute_options(options: ComputeOptions, outcome: Outcome) -> dict[str, Any]:
    """Return the chosen ``--compute`` options, with the micro-batch size that ``auto`` found."""
    chosen = options.chosen()
    if chosen.get("micro_batch_size") == "auto":
        chosen["micro_batch_size_found"] = outcome.micro_batch_size
    return chosen


def _device(asked: str) -> str:
    """Return the torch device of ``auto``, ``cpu`` or ``cuda…``; ``cuda`` is the GPU of this process's local rank."""
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if asked == "cuda" else asked

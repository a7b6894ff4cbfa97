"""Computes the three kinds of run (pretraining, import, evaluation) in a run directory."""

from __future__ import annotations

import contextlib
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.worker.sources import read_source
from evaluators.interface import Context, ReportProgress
from evaluators.lookup import find_evaluator
from pretrain.checkpoint import BACKBONE_FILE, CheckpointHeader, file_sha256, header_path
from pretrain.compute import PLAIN, ComputeOptions
from pretrain.config import PretrainConfig
from pretrain.errors import InputError
from pretrain.methods.lookup import find_method
from pretrain.metrics import PRETRAINING, Metric, declarations, require_declared
from results.files import read_regular
from results.record import CheckpointReference, ParentReference, read_record
from results.runs import RunDirectory, append_json_line, write_atomically

TENSORBOARD = "tensorboard"
JUDGED = "judged.json"


@dataclass(frozen=True)
class Resources:
    """Device, loader workers, data directory, ``--compute`` options and stop request of a run; not part of its id."""

    device: str
    num_workers: int
    data_root: Path | None
    compute: ComputeOptions = PLAIN
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Outcome:
    """The results of a run; ``micro_batch_size`` is that of ``PretrainOutcome``."""

    metrics: Mapping[str, float | None]
    declarations: Mapping[str, Metric] = field(default_factory=dict)
    parents: tuple[ParentReference, ...] = ()
    checkpoints: tuple[CheckpointReference, ...] = ()
    images_per_second: float | None = None
    world_size: int = 1
    micro_batch_size: int | None = None


def run_pretraining(run: RunDirectory, config: Mapping[str, Any], resources: Resources) -> Outcome:
    """Pretrain in the run's directory, from the start or from a saved state."""
    from pretrain.engine import pretrain

    settings = PretrainConfig.model_validate(config["pretrain"])
    declared: tuple[Metric, ...] = (*getattr(find_method(settings.method), "METRICS", ()), *PRETRAINING)
    with _curves(run) as report:
        done = pretrain(
            settings,
            run_directory=run.path,
            data_root=resources.data_root,
            device=resources.device,
            num_workers=resources.num_workers,
            report=report,
            compute=resources.compute,
            should_stop=resources.should_stop,
        )
    return Outcome(
        metrics=_require_finite(done.metrics),
        declarations=declarations(declared, done.metrics),
        checkpoints=_checkpoint_references(run, done.checkpoints),
        images_per_second=done.images_per_second,
        world_size=done.world_size,
        micro_batch_size=done.micro_batch_size,
    )


def run_import(run: RunDirectory, config: Mapping[str, Any], source: str | None) -> Outcome:
    """Check a foreign checkpoint and write it to the run's directory in our format.

    Raises
    ------
    InputError
        The file is missing, has another SHA-256 or format than declared, is not recognised, or contradicts the sweep.
    """
    from pretrain.foreign.parts.conversion import refuse_contradictions, write_ours
    from pretrain.wording import printable

    declared = config["import"]
    if source is None:
        raise InputError(
            f"{run.run_id}: the directory of {declared['checkpoint']} is unknown; start the run with its sweep"
        )
    checkpoint, original = read_source(Path(source), declared)
    facts = config["pretrain"]
    try:
        refuse_contradictions(checkpoint, facts)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    for note in checkpoint.notes:
        print(f"{printable(source)}: {note}", flush=True)
    headers = write_ours(checkpoint, run.checkpoints, run.run_id, method=facts["method"], epochs=facts["epochs"])
    return Outcome(metrics={}, checkpoints=(*_checkpoint_references(run, headers), original))


def _checkpoint_references(
    run: RunDirectory, headers: Mapping[str, CheckpointHeader]
) -> tuple[CheckpointReference, ...]:
    """Return references to the checkpoints that a run wrote, with the checksums of weights and headers."""
    paths = {role: run.checkpoints / f"{role}.safetensors" for role in headers}
    return tuple(
        CheckpointReference(
            role=role,
            path=str(paths[role].relative_to(run.path)),
            sha256=header.sha256,
            header_sha256=file_sha256(header_path(paths[role])),
        )
        for role, header in headers.items()
    )


def run_evaluation(
    run: RunDirectory,
    evaluator: str,
    config: Mapping[str, Any],
    parents: Sequence[str],
    resources: Resources,
) -> Outcome:
    """Evaluate the parent's backbone.

    Raises
    ------
    InputError
        The parent is not done, its checkpoint differs from its record, or the evaluator returns other metrics than it
        declares.
    """
    import torch

    from pretrain.distributed import agreed, get_rank, get_world_size

    (parent_id,) = parents
    checkpoint, parent = verified_checkpoint(RunDirectory(run.path.parent / parent_id))
    if get_rank() == 0:
        forget_other_checkpoint(run, parent)
    agreed(True, torch.device(resources.device))  # wait for rank 0 to remove states of another checkpoint
    module = find_evaluator(evaluator)
    with _curves(run) as report:
        context = Context(
            data_root=resources.data_root,
            work_directory=run.path,
            device=resources.device,
            num_workers=resources.num_workers,
            report=report,
            should_stop=resources.should_stop,
            subject=None if "import" in config else PretrainConfig.model_validate(config["pretrain"]),
        )
        metrics = module.evaluate(checkpoint, module.Config.model_validate(config["evaluator"]), context)
    return Outcome(
        metrics=_defined(metrics),
        declarations=require_declared(f"evaluator {evaluator}", module.METRICS, metrics),
        parents=(parent,),
        world_size=get_world_size(),
    )


def forget_other_checkpoint(run: RunDirectory, parent: ParentReference) -> None:
    """Remove an evaluation's saved states if they belong to another checkpoint: the parent was computed again.

    ``checkpoints/judged.json`` names the checkpoint to which the saved states belong.
    """
    note = run.checkpoints / JUDGED
    text = parent.model_dump_json()
    try:
        if read_regular(note) == text.encode():
            return
    except OSError:
        pass
    if run.checkpoints.is_dir():
        shutil.rmtree(run.checkpoints)
    run.checkpoints.mkdir()
    write_atomically(note, text)


def verified_checkpoint(parent: RunDirectory) -> tuple[Path, ParentReference]:
    """Compare all checkpoints of a finished run with its record, and return the backbone's path and reference.

    Raises
    ------
    InputError
        The record or the backbone is missing, or weights or a header have changed since they were written.
    """
    if not parent.record.exists():
        raise InputError(f"parent {parent.run_id} has no record; it must be done before its checkpoint is evaluated")
    written = {parent.path / reference.path: reference for reference in read_record(parent.record).checkpoints}
    path = parent.checkpoints / BACKBONE_FILE
    if path not in written or not path.is_file():
        raise InputError(
            f"{path}: the backbone that {parent.run_id} should have left is missing; "
            f"delete {parent.record} to pretrain again"
        )
    for weights, reference in written.items():
        # An import's source file isn't in the run directory, and a user may have deleted method.safetensors.
        if reference.header_sha256 is not None and weights.is_file():
            _require_unchanged(weights, reference.sha256, parent)
            _require_unchanged(header_path(weights), reference.header_sha256, parent)
    header_sha256 = written[path].header_sha256
    if header_sha256 is None:
        raise InputError(f"{parent.record}: names no header of {path.name}; delete {parent.record} to pretrain again")
    return path, ParentReference(
        run_id=parent.run_id, checkpoint_sha256=written[path].sha256, header_sha256=header_sha256
    )


def _require_unchanged(file: Path, recorded: str, run: RunDirectory) -> None:
    found = file_sha256(file) if file.is_file() else "that of no file"
    if found != recorded:
        raise InputError(
            f"{file}: its SHA-256 {found} is not the recorded {recorded}; put the file back as it was written, or "
            f"delete {run.record} to pretrain again"
        )


@contextlib.contextmanager
def _curves(run: RunDirectory) -> Iterator[ReportProgress]:
    """Yield a callback that appends to ``progress.jsonl`` and writes TensorBoard scalars at step epoch × 1000."""
    from torch.utils.tensorboard import SummaryWriter

    with _raise_thread_errors(), SummaryWriter(str(run.path / TENSORBOARD)) as writer:

        def report(*, epoch: float, total_epochs: float, values: Mapping[str, float]) -> None:
            append_json_line(run.progress, {"epoch": epoch, "total_epochs": total_epochs, **values})
            for name, value in values.items():
                writer.add_scalar(name, value, round(epoch * 1000))

        yield report


@contextlib.contextmanager
def _raise_thread_errors() -> Iterator[None]:
    """Raise the first ``OSError`` of any thread at the end of the block.

    TensorBoard writes in its own thread. An error there is only printed, and goes unnoticed if no scalar follows.
    """
    found: list[BaseException] = []
    before = threading.excepthook

    def keep(failed: threading.ExceptHookArgs) -> None:
        if isinstance(failed.exc_value, OSError):
            found.append(failed.exc_value)
        else:
            before(failed)

    threading.excepthook = keep
    try:
        yield
    finally:
        threading.excepthook = before
    if found:
        raise found[0]


def _defined(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the metrics with None for NaN (a mean over no classes); print the undefined ones to the log."""
    undefined = [name for name, value in metrics.items() if value is None or math.isnan(value)]
    if undefined:
        print(f"not defined on this data: {', '.join(undefined)}", flush=True)
    finite = _require_finite({n: value for n, value in metrics.items() if value is not None and n not in undefined})
    return {name: finite.get(name) for name in metrics}


def _require_finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics as plain floats; refuse NaN and infinity.

    Raises
    ------
    ArithmeticError
        A metric is NaN or infinite, which a record can't hold.
    """
    values = {name: float(value) for name, value in metrics.items()}
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise ArithmeticError(f"metric {bad[0]} is {values[bad[0]]}")
    return values

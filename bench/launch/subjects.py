"""Finds the checkpoint that ``opera-bench evaluate`` names: a run, a file, a folder, or a name in Hugging Face's cache.

A file or folder becomes an import, a run of its own, as in a sweep. Reading it imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.plan.expand import imported_pretraining
from bench.plan.graph import IMPORT, PRETRAIN, PlannedRun, plan_import, plan_subject, subject_of
from bench.runs.find import find_run
from bench.sweep.errors import InputError
from bench.sweep.file import ImportDeclaration
from pretrain.resolve import to_input_error
from pretrain.subject import ImportSource, Subject
from results.runs import RunDirectory, RunState
from results.store import load_runs


@dataclass(frozen=True)
class FileOptions:
    """How a file is read: ``--from``, ``--weights``, and the facts of ``--as``, under the names of a sweep's ``as``."""

    format: str = "auto"
    weights: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckpointToEvaluate:
    """The checkpoint: its pretraining, the import to run first if it is a file, and sentences for the user."""

    subject: Subject
    to_import: PlannedRun | None = None
    notes: tuple[str, ...] = ()


def find_subject(name: str, runs: Path, file_options: FileOptions, roots: Mapping[str, Path]) -> CheckpointToEvaluate:
    """Return the checkpoint called ``name``: a run in ``runs``, else an existing path, else a name in the cache.

    Raises
    ------
    InputError
        There is no such checkpoint, the run is not done or left none, or the file can't be read.
    """
    path = _path(name, runs)
    if path is not None and (run_id := _run_that_wrote(path, runs)) is None:
        return _import_of_file(
            path, path.absolute().name if Path(name).expanduser().exists() else name, file_options, roots
        )
    if file_options != FileOptions():
        raise InputError("--from, --weights and --as describe a file; leave them out for a run")
    return CheckpointToEvaluate(_subject_of_run(name if path is None else run_id or name, runs))


def _path(name: str, runs: Path) -> Path | None:
    """Return the file or folder called ``name``; None for the name of a run in ``runs``."""
    if "/" not in name and (runs / name).is_dir():
        return None
    path = Path(name).expanduser()
    if path.exists():
        return path
    if (cached := _hub_folder(name)) is not None:
        return cached
    if "/" in name or path.suffix in (".pth", ".pt", ".tar", ".bin", ".safetensors"):
        raise InputError(
            f"{name}: no such file or folder, and Hugging Face's cache has no timm model of this name; give a file, a "
            f"folder, or a run in {runs}"
        )
    return None


def _run_that_wrote(path: Path, runs: Path) -> str | None:
    """Return the id of the run in ``runs`` that wrote this checkpoint; None for any other file."""
    from pretrain.checkpoint import BACKBONE_FILE, read_header
    from pretrain.foreign.parts.own import is_ours, own_weights

    if not is_ours(path):
        return None
    run = RunDirectory(runs / read_header(own_weights(path)).run_id)
    kept = run.checkpoints / BACKBONE_FILE
    return run.run_id if kept.exists() and kept.samefile(own_weights(path)) else None


def _hub_folder(name: str) -> Path | None:
    """Return the folder of a model in Hugging Face's cache; nothing is downloaded.

    ``timm/vit_small_patch16_224.dino``, or a name of timm's without ``timm/``.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for repository in (name, f"timm/{name}") if "/" not in name else (name,):
        try:
            found = try_to_load_from_cache(repository, "config.json")
        except HFValidationError:  # no name of a model
            return None
        if isinstance(found, str):
            return Path(found).parent
    return None


def _subject_of_run(name: str, runs: Path) -> Subject:
    run = find_run(runs, name, stages=(PRETRAIN, IMPORT))
    (found,) = load_runs(runs, [run.run_id]).runs or (None,)
    if found is None or found.state is RunState.DAMAGED:
        reason = "its directory holds no run" if found is None else f"{run.run_id} is damaged: {found.reason}"
        raise InputError(f"{name}: {reason}")
    if found.stage not in (PRETRAIN, IMPORT):
        raise InputError(f"{name}: {run.run_id} left no checkpoint; name a pretraining")
    if found.state is not RunState.DONE:
        raise InputError(f"{name}: {run.run_id} is not done; see: opera-bench status")
    try:
        subject = subject_of(found.config)
    except InputError as error:
        raise InputError(f"{run.config}: {error}; pretrain again to evaluate it") from error
    if plan_subject(subject).run_id != run.run_id:
        raise InputError(
            f"{name}: {run.run_id} was planned by another version of opera-bench or of a plugin; "
            "pretrain again to evaluate it"
        )
    return subject


def _import_of_file(
    path: Path, name: str, file_options: FileOptions, roots: Mapping[str, Path]
) -> CheckpointToEvaluate:
    """Return the import of a file or folder; ``name`` is its file name, or the model's name in the cache."""
    from pretrain.foreign.parts.conversion import UNKNOWN_METHOD, read_checkpoint

    checkpoint = read_checkpoint(path, file_options.format, file_options.weights)
    header = checkpoint.header
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(name).name.partition(".")[0]).strip("-_.") or "checkpoint"
    assumed = {
        "method": stem if header.method == UNKNOWN_METHOD else header.method,
        "backbone": header.backbone,
        "epochs": header.epochs,
        "global_batch_size": None,
    }
    given = dict(file_options.facts)
    if "batch_size" in given:
        given["global_batch_size"] = given.pop("batch_size")
    try:
        declared = ImportDeclaration.model_validate({**assumed, **given})
    except ValidationError as error:
        raise to_input_error(error, ImportDeclaration, "--as ") from error
    if len(declared.seed) > 1:
        raise InputError("--as seed: give one seed")
    source = ImportSource(
        checkpoint=name,
        format=checkpoint.format,
        sha256=header.sha256,
        weights=file_options.weights,
        normalisation=declared.normalisation,
        path=str(path.absolute()),
    )
    subject = imported_pretraining(declared, source, _title(checkpoint.format), declared.seed[0], roots)
    facts = {key: getattr(declared, key) for key in ("method", "backbone", "epochs", "dataset")}
    facts["batch_size"] = declared.global_batch_size
    shown = ", ".join(f"{key} {'unknown' if value is None else value}" for key, value in facts.items())
    return CheckpointToEvaluate(
        subject, plan_import(subject), (f"{name} is recorded as: {shown}; change it with --as KEY=VALUE",)
    )


def _title(format_name: str) -> str:
    from pretrain.foreign.lookup import find_format
    from pretrain.foreign.parts.conversion import OWN_FORMAT

    return "opera-bench" if format_name == OWN_FORMAT else find_format(format_name).INFO.title

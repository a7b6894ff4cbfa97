"""Plans the graph of a sweep's runs, each run once, parents first. Doesn't import torch or read data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.plan.distributions import with_plugins
from bench.plan.expand import Evaluation, expand_evaluations, expand_pretraining, unmatched_filters
from bench.plan.optional import left_out_notes
from bench.plan.roots import planning_roots
from bench.sweep.errors import InputError
from bench.sweep.model import Sweep
from pretrain.config import PretrainConfig
from pretrain.datasets import opening_once
from pretrain.subject import ImportedPretraining, ImportSource, Subject
from results.identity import run_id

PRETRAIN = "pretrain"
IMPORT = "import"
"""``PRETRAIN`` and ``IMPORT``: stages of runs that write a checkpoint. An evaluation's stage is its evaluator."""


@dataclass(frozen=True)
class PlannedRun:
    """A run of a plan; ``config`` goes into its ``config.yaml`` and its record.

    ``source`` is the file or folder that an import reads.
    """

    run_id: str
    stage: str
    parents: tuple[str, ...]
    config: dict[str, Any]
    source: str | None = None

    @property
    def title(self) -> str:
        return describe(self.stage, self.config)

    @property
    def dataset(self) -> str | None:
        """The dataset that this run reads; None for an import."""
        if self.stage == IMPORT:
            return None
        settings = self.config.get("evaluator") or self.config[PRETRAIN]
        return str(settings["dataset"])


@dataclass(frozen=True)
class Plan:
    """A sweep's runs in topological order, each id once.

    Parameters
    ----------
    parts
        The plans of the included sweeps. ``runs`` has all their runs.
    notes
        Sentences for the user about optional entries that are left out, and filters that have no effect or leave no
        run.
    """

    name: str
    runs: tuple[PlannedRun, ...]
    parts: tuple[Plan, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def run_ids(self) -> tuple[str, ...]:
        return tuple(run.run_id for run in self.runs)


def plan_sweep(sweep: Sweep) -> Plan:
    """Resolve a sweep into its runs.

    Raises
    ------
    InputError
        Something in the sweep is invalid; the message names file and line.
    """
    with opening_once():
        plan = _plan(sweep, planning_roots(sweep.file.data, sweep.source.name))
    if not plan.runs:
        raise InputError(f"{sweep.source.name}: nothing to run. {'; '.join(plan.notes)}")
    return plan


def _plan(sweep: Sweep, roots: Mapping[str, Path]) -> Plan:
    subjects = expand_pretraining(sweep, roots)
    pretrainings = [plan_subject(subject) for subject in subjects]
    evaluations = [plan_evaluation(evaluation) for evaluation in expand_evaluations(sweep, subjects, roots)]
    parts = tuple(_plan(part, roots) for part in sweep.parts)
    groups = tuple(_plan(group, roots) for group in sweep.groups)
    runs = [*(run for part in parts for run in part.runs), *pretrainings, *evaluations]
    runs += [run for group in groups for run in group.runs]
    _require_one_file_per_import(runs, sweep.source.name)
    notes = (*left_out_notes(sweep), *unmatched_filters(sweep, subjects, roots))
    return Plan(sweep.name, deduplicated(sorted(runs, key=lambda run: bool(run.parents))), parts, notes)


def plan_pretraining(config: PretrainConfig) -> PlannedRun:
    """Return the run of a pretraining configuration."""
    settings = with_plugins(PRETRAIN, {PRETRAIN: config.model_dump(mode="json")})
    return PlannedRun(run_id(PRETRAIN, settings, ()), PRETRAIN, (), settings)


def plan_import(config: ImportedPretraining) -> PlannedRun:
    """Return the run that converts a foreign checkpoint to our format."""
    declared = config.model_dump(mode="json", exclude={"source"})
    settings = with_plugins(IMPORT, {PRETRAIN: declared, IMPORT: config.source.model_dump(mode="json")})
    return PlannedRun(run_id(IMPORT, settings, ()), IMPORT, (), settings, config.source.path)


def plan_subject(subject: Subject) -> PlannedRun:
    """Return the run that writes the checkpoint to be evaluated: a pretraining or an import."""
    return plan_import(subject) if isinstance(subject, ImportedPretraining) else plan_pretraining(subject)


def subject_of(config: Mapping[str, Any]) -> Subject:
    """Return the pretraining that the configuration of a pretraining or import run describes.

    Raises
    ------
    InputError
        The configuration lacks settings or has unknown ones: another version of opera-bench planned the run.
    """
    try:
        if IMPORT not in config:
            return PretrainConfig.model_validate(config[PRETRAIN])
        source = ImportSource.model_validate(config[IMPORT])
        return ImportedPretraining.model_validate({**config[PRETRAIN], "source": source})
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(map(str, first["loc"])) or "the whole"
        raise InputError(f"it was planned by another version of opera-bench ({setting}: {first['msg']})") from error


def plan_evaluation(evaluation: Evaluation) -> PlannedRun:
    """Return the run of an evaluation."""
    parent = plan_subject(evaluation.subject)
    stage, parents = evaluation.evaluator, (parent.run_id,)
    settings = with_plugins(stage, {"evaluator": evaluation.config.model_dump(mode="json"), **parent.config})
    return PlannedRun(run_id(stage, settings, parents), stage, parents, settings)


def deduplicated(runs: Iterable[PlannedRun]) -> tuple[PlannedRun, ...]:
    """Return the runs in order, each id once."""
    unique: dict[str, PlannedRun] = {}
    for run in runs:
        unique.setdefault(run.run_id, run)
    return tuple(unique.values())


def _require_one_file_per_import(runs: Iterable[PlannedRun], where: str) -> None:
    """Refuse entries that name different files and would be one import, whose id has only the file's name.

    Files with the same declared SHA-256 are equal, wherever they lie.
    """
    sources: dict[str, str] = {}
    for run in runs:
        if run.source is not None and run.config[IMPORT]["sha256"] is None:
            first = sources.setdefault(run.run_id, run.source)
            if Path(first).expanduser().resolve() != Path(run.source).expanduser().resolve():
                raise InputError(
                    f"{where}: checkpoints {first} and {run.source} have the same name and as:, and would be one run; "
                    "add sha256: to both entries, with the digits that sha256sum FILE prints"
                )


def describe(stage: str, config: Mapping[str, Any]) -> str:
    """Return a run in words: ``linear on digits · opera (arrangement A) · tiny_vit · 10 epochs · seed 0``.

    If the configuration was read from disk, another version may have planned it, or it may be empty.
    """
    try:
        return " · ".join(_words(stage, config))
    except (KeyError, TypeError, AttributeError):
        return f"{stage}, planned by another version of opera-bench" if config else f"{stage}, configuration unreadable"


def _words(stage: str, config: Mapping[str, Any]) -> list[str]:
    subject = config[PRETRAIN]
    evaluator = config.get("evaluator")
    protocol = [f"{stage} on {evaluator['dataset']}{_changes(evaluator)}"] if evaluator else []
    if stage == IMPORT:
        protocol = [f"import of {config[IMPORT]['checkpoint']} ({config[IMPORT]['format']})"]
    return [
        *protocol,
        f"{subject['method']}{_changes(subject)}",
        subject["backbone"],
        *([] if evaluator else [f"on {subject['dataset']}"]),
        _epochs(subject["epochs"]),
        f"seed {subject['seed']}",
    ]


def _epochs(count: int | None) -> str:
    if count is None:
        return "epochs unknown"
    return "1 epoch" if count == 1 else f"{count} epochs"


def _changes(settings: Mapping[str, Any]) -> str:
    """Return the settings that the sweep changed in the recipe: `` (arrangement A, mlp_layers 3)``, or ''."""
    values = {**settings, **settings.get("method_options", {})}
    scalars = [
        f"{key} {values[key]}"
        for key in settings["recipe"].get("changed", ())
        if key != "epochs" and not isinstance(values.get(key), dict | list | None)
    ]
    return f" ({', '.join(scalars)})" if scalars else ""

"""The graph of runs a sweep stands for, each run once, parents first. Imports no torch and reads no data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bench.plan.distributions import with_plugins
from bench.plan.expand import Evaluation, expand_evaluations, expand_pretraining, unmatched_filters
from bench.sweep.errors import InputError
from bench.sweep.model import Sweep
from pretrain.config import ImportedPretraining, ImportSource, PretrainConfig, Subject
from results.identity import run_id

PRETRAIN = "pretrain"
IMPORT = "import"
"""The stages of runs that leave a checkpoint; the stage of an evaluation is its evaluator's name."""


@dataclass(frozen=True)
class PlannedRun:
    """One run before it has run; ``config`` is what its ``config.yaml`` and its record will hold.

    ``source`` is the file or folder an import reads.
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
        """The dataset this run reads; an import reads none."""
        if self.stage == IMPORT:
            return None
        settings = self.config.get("evaluator") or self.config[PRETRAIN]
        return str(settings["dataset"])


@dataclass(frozen=True)
class Plan:
    """Runs in topological order, no id twice.

    Parameters
    ----------
    parts
        The plans of the included sweeps; what several of them need stands in ``runs`` once.
    notes
        Sentences for the user about filters that match nothing.
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
        Anything in the sweep that can't be meant; the message names file and line.
    """
    subjects = expand_pretraining(sweep)
    pretrainings = [plan_subject(subject) for subject in subjects]
    evaluations = [plan_evaluation(evaluation) for evaluation in expand_evaluations(sweep, subjects)]
    parts = tuple(plan_sweep(part) for part in sweep.parts)
    runs = [*(run for part in parts for run in part.runs), *pretrainings, *evaluations]
    notes = tuple(unmatched_filters(sweep, subjects))
    return Plan(sweep.name, deduplicated(sorted(runs, key=lambda run: bool(run.parents))), parts, notes)


def plan_pretraining(config: PretrainConfig) -> PlannedRun:
    """The run that a pretraining configuration stands for."""
    settings = with_plugins(PRETRAIN, {PRETRAIN: config.model_dump(mode="json")})
    return PlannedRun(run_id(PRETRAIN, settings, ()), PRETRAIN, (), settings)


def plan_import(config: ImportedPretraining) -> PlannedRun:
    """The run that brings a foreign checkpoint into our format."""
    declared = config.model_dump(mode="json", exclude={"source"})
    settings = with_plugins(IMPORT, {PRETRAIN: declared, IMPORT: config.source.model_dump(mode="json")})
    return PlannedRun(run_id(IMPORT, settings, ()), IMPORT, (), settings, config.source.path)


def plan_subject(subject: Subject) -> PlannedRun:
    """The run that leaves the checkpoint to be judged."""
    return plan_import(subject) if isinstance(subject, ImportedPretraining) else plan_pretraining(subject)


def subject_of(config: Mapping[str, Any]) -> Subject:
    """What the configuration of a run that left a checkpoint describes.

    Raises
    ------
    InputError
        It lacks settings of today's, or has others: an earlier or a later version of opera-bench planned the run.
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
    """The run that an evaluation of a checkpoint stands for."""
    parent = plan_subject(evaluation.subject)
    stage, parents = evaluation.evaluator, (parent.run_id,)
    settings = with_plugins(stage, {"evaluator": evaluation.config.model_dump(mode="json"), **parent.config})
    return PlannedRun(run_id(stage, settings, parents), stage, parents, settings)


def deduplicated(runs: Iterable[PlannedRun]) -> tuple[PlannedRun, ...]:
    """The runs in order, each id once."""
    unique: dict[str, PlannedRun] = {}
    for run in runs:
        unique.setdefault(run.run_id, run)
    return tuple(unique.values())


def describe(stage: str, config: Mapping[str, Any]) -> str:
    """A run in words: ``linear on digits · opera (arrangement A) · tiny_vit · 10 epochs · seed 0``.

    The configuration may be that of a run on disk, which an earlier version planned or of which nothing can be read.
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
        "1 epoch" if subject["epochs"] == 1 else f"{subject['epochs']} epochs",
        f"seed {subject['seed']}",
    ]


def _changes(settings: Mapping[str, Any]) -> str:
    """What was asked for beyond the recipe: `` (arrangement A, mlp_layers 3)``."""
    values = {**settings, **settings.get("method_options", {})}
    scalars = [
        f"{key} {values[key]}"
        for key in settings["recipe"].get("changed", ())
        if key != "epochs" and not isinstance(values.get(key), dict | list | None)
    ]
    return f" ({', '.join(scalars)})" if scalars else ""

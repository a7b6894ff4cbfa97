"""Evaluates one checkpoint without a sweep: one protocol, or every classification protocol with a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.launch.run_one import compute_single, run_single
from bench.launch.run_sweep import say
from bench.launch.subjects import CheckpointToEvaluate, FileOptions, find_subject
from bench.plan.expand import Evaluation
from bench.plan.graph import PlannedRun, plan_evaluation
from bench.plan.roots import planning_roots
from bench.sweep.errors import INPUT_ERRORS, InputError
from bench.sweep.overrides import naming_assignments, split_assignments
from evaluators.lookup import EVALUATORS, find_evaluator, resolve_evaluation
from evaluators.parts.config import TrainingConfig
from pretrain.datasets import find_dataset, opening_once
from pretrain.plugins import suggest

ALL = "all"
OWN_IMAGES = "folder"
"""Dataset of ``--data`` without ``--dataset``."""


@dataclass(frozen=True)
class EvaluateArguments:
    """The arguments of ``opera-bench evaluate``."""

    checkpoint: str
    dataset: str | None
    data: Path | None
    recipe: str | None
    assignments: tuple[str, ...]
    file_options: FileOptions

    def dataset_of(self, evaluator: str) -> str | None:
        """Return the dataset to evaluate on; None for the evaluator's own or the pretraining's."""
        config = find_evaluator(evaluator).Config
        takes_own = config.KIND == "classification" and config.DEFAULT_DATASET is None
        return OWN_IMAGES if self.dataset is None and self.data is not None and takes_own else self.dataset

    def roots(self, dataset: str | None) -> dict[str, Path]:
        """Return the directory that planning reads, if ``dataset`` is own images."""
        given = {} if self.data is None or dataset is None else {dataset: str(self.data)}
        return planning_roots(given, "the command line")


def evaluate_one(evaluator: str, arguments: EvaluateArguments, runs: Path, device: str) -> int:
    """Import the checkpoint if it is a file, evaluate it, print the metrics, and return the exit status."""
    roots = arguments.roots(arguments.dataset_of(evaluator))
    with opening_once():
        found = find_subject(arguments.checkpoint, runs, arguments.file_options, roots)
        _require_named_dataset(arguments, found)
        with naming_assignments(arguments.assignments):
            planned = _plan(evaluator, found, arguments, split_assignments(arguments.assignments), roots)
    return _import(found, runs, device) or run_single(planned, runs, device, arguments.data)


@dataclass(frozen=True)
class ProtocolResults:
    """The finished evaluation of each protocol, and the reason why another has none."""

    done: Mapping[str, PlannedRun]
    refused: Mapping[str, str]


def evaluate_all(arguments: EvaluateArguments, runs: Path, device: str) -> ProtocolResults:
    """Import the checkpoint if it is a file, and run every classification protocol on it.

    Raises
    ------
    InputError
        An argument is wrong, the import failed, or no protocol can evaluate the checkpoint.
    """
    if arguments.recipe is not None:
        raise InputError(f"--recipe {arguments.recipe}: evaluator all has a recipe for each protocol; leave it out")
    roots = arguments.roots(arguments.dataset or (OWN_IMAGES if arguments.data else None))
    names = _classification_protocols()
    options = split_assignments(arguments.assignments)
    for name, settings in options.items():
        if name not in names or not isinstance(settings, dict):
            raise InputError(
                f"--set {name}=…: evaluator all takes the protocol before the setting, as linear.epochs=5; "
                f"{suggest(name, names)}"
            )
    planned: dict[str, PlannedRun] = {}
    refused: dict[str, str] = {}
    with opening_once():
        found = find_subject(arguments.checkpoint, runs, arguments.file_options, roots)
        _require_named_dataset(arguments, found)
        for name in names:
            try:
                planned[name] = _plan(name, found, arguments, options.get(name, {}), roots)
            except INPUT_ERRORS as error:
                refused[name] = str(error)
    if not planned:
        raise InputError(f"no protocol can evaluate {arguments.checkpoint}; {names[0]}: {refused[names[0]]}")
    if _import(found, runs, device):
        raise InputError(f"{arguments.checkpoint}: its import failed; see: opera-bench status")
    for name, run in planned.items():
        say(f"{name}: {run.title}")
        try:
            if compute_single(run, runs, device, arguments.data):
                refused[name] = "failed; the lines above say why"
        except INPUT_ERRORS as error:
            refused[name] = str(error)
    return ProtocolResults({name: run for name, run in planned.items() if name not in refused}, refused)


def _require_named_dataset(arguments: EvaluateArguments, found: CheckpointToEvaluate) -> None:
    """Refuse ``--data`` alone if the run was pretrained on another dataset with a directory: both could be meant."""
    pretrained = found.subject.dataset
    if (
        arguments.data is None
        or arguments.dataset is not None
        or found.to_import is not None
        or pretrained == OWN_IMAGES
    ):
        return
    if find_dataset(pretrained).INFO.needs_root:
        raise InputError(
            f"--data {arguments.data}: could be {pretrained}, on which {arguments.checkpoint} was pretrained, or your "
            f"own images; add --dataset {pretrained} or --dataset {OWN_IMAGES}"
        )


def _plan(
    evaluator: str,
    found: CheckpointToEvaluate,
    arguments: EvaluateArguments,
    options: Mapping[str, Any],
    roots: Mapping[str, Path],
) -> PlannedRun:
    dataset = arguments.dataset_of(evaluator)
    options = dict(options) if dataset is None else {**options, "dataset": dataset}
    config = resolve_evaluation(evaluator, subject=found.subject, options=options, recipe=arguments.recipe, roots=roots)
    return plan_evaluation(Evaluation(evaluator, config, found.subject))


def _import(found: CheckpointToEvaluate, runs: Path, device: str) -> int:
    if found.to_import is None:
        return 0
    for note in found.notes:
        say(note)
    return compute_single(found.to_import, runs, device, None)


def _classification_protocols() -> list[str]:
    """Return the names of the classification protocols, those without training first."""
    configs = {name: module.Config for name, module in EVALUATORS.usable()}
    names = [name for name, config in configs.items() if config.KIND == "classification"]
    return sorted(names, key=lambda name: (issubclass(configs[name], TrainingConfig), name))

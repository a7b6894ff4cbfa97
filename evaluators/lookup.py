"""Finds evaluators by name and resolves their configuration. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evaluators.interface import EvaluatorConfig, EvaluatorModule
from pretrain.backbones.lookup import find_backbone
from pretrain.datasets import dataset_info, describe_datasets, reads_info
from pretrain.errors import InputError
from pretrain.foreign.lookup import find_format, format_names
from pretrain.metrics import require_metrics
from pretrain.plugins import PluginKind, plugin_names, suggest
from pretrain.recipes import merge, select_recipe
from pretrain.recipes.fitting import fit_to_images
from pretrain.resolve import NO_ROOTS, to_input_error
from pretrain.subject import ImportedPretraining, Subject

RECIPES = "evaluators.recipes"
EVALUATORS = PluginKind[EvaluatorModule](
    "evaluators", "evaluator", {"Config": EvaluatorConfig, "METRICS": tuple, "evaluate": None}
)
evaluator_names = EVALUATORS.names
_NOT_OPTIONS = {"dataset", "dataset_version", "recipe", "seed"}


def find_evaluator(name: str) -> EvaluatorModule:
    """Return the evaluator's module.

    Raises
    ------
    InputError
        The name is unknown, or the module can't be used.
    """
    module = EVALUATORS.find(name)
    require_metrics(f"evaluator {name}", module.METRICS)
    return module


def resolve_evaluation(
    name: str,
    *,
    subject: Subject,
    options: Mapping[str, Any],
    recipe: str | None = None,
    roots: Mapping[str, Path] = NO_ROOTS,
) -> EvaluatorConfig:
    """Return an evaluator's configuration: its recipe, overridden by the user's options.

    ``dataset`` defaults to the evaluator's own dataset, or else to the one pretrained on; the seed is the subject's.
    ``roots`` maps datasets to directories, for those whose facts come from their files.

    Raises
    ------
    InputError
        The evaluator, dataset, recipe or an option is unknown; a value has the wrong type or is out of range; the
        dataset is of another kind; or the protocol can't evaluate the backbone.
    """
    config_class = find_evaluator(name).Config
    asked = dict(options)
    dataset = str(asked.pop("dataset", config_class.DEFAULT_DATASET or subject.dataset))
    info = dataset_info(dataset, roots.get(dataset))
    if info.kind != config_class.KIND:
        fitting = [other.name for other in describe_datasets() if other.kind == config_class.KIND]
        raise InputError(
            f"dataset: {dataset} is for {info.kind}, evaluator {name} needs one for {config_class.KIND}; "
            f"{suggest(dataset, fitting)}",
            key=("dataset",),
        )
    allowed = [key for key in config_class.model_fields if key not in _NOT_OPTIONS]
    for key in asked:
        if key not in allowed:
            raise InputError(f"unknown option {key!r} for evaluator {name}; {suggest(key, ['dataset', *allowed])}")
    backbone = find_backbone(subject.backbone).INFO
    config_class.require_backbone(backbone)
    facts = {"evaluator": name, "backbone": subject.backbone, "dataset": dataset}
    if not info.recipes_of:  # on own images, all methods have one protocol and can be compared
        facts["method"] = _method_of_protocol(subject)
    if "preset" in config_class.model_fields:
        facts["preset"] = str(asked.get("preset", config_class.model_fields["preset"].default))
    chosen = select_recipe(RECIPES, facts, recipe, alternatives={"dataset": info.recipes_of})
    epochs = asked.get("epochs")
    base = chosen.settings_for(epochs if isinstance(epochs, int) else None)
    if reads_info(dataset):
        asked = {**fit_to_images(base, info.sizes["train"]), **asked}

    def resolved(settings: Mapping[str, Any]) -> EvaluatorConfig:
        return config_class.model_validate(
            {
                **merge(base, settings),
                "dataset": dataset,
                "dataset_version": info.version,
                "recipe": chosen.reference(()),
                "seed": subject.seed,
            }
        )

    try:
        config, recipe_alone = resolved(asked), resolved({})
    except ValidationError as error:
        raise to_input_error(error, config_class, f"{name}: ") from error
    config.require_fits(backbone)
    changed = tuple(sorted(key for key in asked if getattr(config, key) != getattr(recipe_alone, key)))
    return config.model_copy(update={"recipe": chosen.reference(changed)})


def _method_of_protocol(subject: Subject) -> str:
    """Return the method whose protocol applies: for an import under a label of the user's, its format's method."""
    if isinstance(subject, ImportedPretraining) and subject.method not in plugin_names("pretrain.methods"):
        written_by = find_format(subject.source.format).INFO.method if subject.source.format in format_names() else None
        return written_by or subject.method
    return subject.method

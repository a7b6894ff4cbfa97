"""Adds the plugin distributions that compute a run to its configuration, and so to its id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution
from typing import Any

from bench.sweep.errors import InputError
from evaluators.lookup import EVALUATORS
from evaluators.lookup import RECIPES as EVALUATOR_RECIPES
from pretrain.backbones.lookup import BACKBONES
from pretrain.datasets.lookup import DATASETS
from pretrain.foreign.lookup import FORMATS
from pretrain.methods.lookup import METHODS, base_of
from pretrain.plugin_source import describe_plugin
from pretrain.plugins import distribution_name
from pretrain.recipes import broken_recipes, recipe_distribution
from pretrain.resolve import RECIPES as PRETRAIN_RECIPES
from results.declarations import refused_tables
from results.figures import refused_figures
from results.identity import PLUGINS
from slurm.lookup import refused_executors


def with_plugins(stage: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's configuration with the part ``plugins``; without that part if the run uses no plugin.

    Raises
    ------
    InputError
        Two distributions offer one name, or a distribution has no name or too many files to hash.
    """
    found = {distribution_name(dist): dist for dist in _distributions(stage, config) if dist is not None}
    parts = {part: settings for part, settings in config.items() if part != PLUGINS}
    if found:
        parts[PLUGINS] = {name: describe_plugin(found[name]) for name in sorted(found)}
    return parts


def require_same_plugins(run_id: str, stage: str, config: Mapping[str, Any]) -> None:
    """Check that the installed plugins are those that the run was planned with.

    Raises
    ------
    InputError
        A plugin is missing or has another version or other code, so that the run's id would be wrong.
    """
    planned, here = config.get(PLUGINS, {}), with_plugins(stage, config).get(PLUGINS, {})
    for name in sorted({*planned, *here}):
        if planned.get(name) != here.get(name):
            raise InputError(
                f"{run_id} was planned with {_version_text(name, planned)}, but {_version_text(name, here)} is "
                "installed here; run the sweep again to plan it anew"
            )


def refusals() -> list[str]:
    """Return one sentence for each plugin, recipe, table, figure or executor of a distribution that can't be used."""
    sentences: list[str] = []
    for kind in (METHODS, BACKBONES, DATASETS, FORMATS, EVALUATORS):
        sentences += kind.refusals()
    sentences += [*broken_recipes(PRETRAIN_RECIPES), *broken_recipes(EVALUATOR_RECIPES)]
    return [*sentences, *refused_tables(), *refused_figures(), *refused_executors()]


def _version_text(name: str, plugins: Mapping[str, Any]) -> str:
    if name not in plugins:
        return f"no {name}"
    return f"{name} {plugins[name]['version']} (source {plugins[name]['source_sha256'][:10]})"


def _distributions(stage: str, config: Mapping[str, Any]) -> Iterator[Distribution | None]:
    subject = config["pretrain"]
    yield METHODS.distribution(base_of(subject["method"]) or subject["method"])
    yield BACKBONES.distribution(subject["backbone"])
    yield DATASETS.distribution(subject["dataset"])
    yield recipe_distribution(PRETRAIN_RECIPES, subject["recipe"]["id"])
    if "import" in config:
        yield FORMATS.distribution(config["import"]["format"])
    if "evaluator" in config:
        yield EVALUATORS.distribution(stage)
        yield DATASETS.distribution(config["evaluator"]["dataset"])
        yield recipe_distribution(EVALUATOR_RECIPES, config["evaluator"]["recipe"]["id"])
